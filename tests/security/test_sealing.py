from base64 import b64encode
from pathlib import Path

import pytest

from app.security.errors import KeyConfigurationError
from app.security.sealing import CannotOpen, Sealer, sealer_from

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def test_what_is_sealed_opens_for_its_purpose_only() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(b"secret", "alice")
    assert b"secret" not in sealed
    assert sealed != sealer.seal(b"secret", "alice")
    assert sealer.open(sealed, "alice") == b"secret"
    with pytest.raises(CannotOpen):
        sealer.open(sealed, "bob")


@pytest.mark.parametrize("place", [0, 9, 25, -1])
def test_what_was_altered_does_not_open(place: int) -> None:
    sealer = Sealer([NEW])
    sealed = bytearray(sealer.seal(b"secret", "alice"))
    sealed[place] ^= 1
    for text in (bytes(sealed), bytes(sealed)[:20], b""):
        with pytest.raises(CannotOpen):
            sealer.open(text, "alice")


def test_a_new_key_on_top_seals_and_the_old_ones_open() -> None:
    before = Sealer([OLD]).seal(b"secret", "alice")
    changed = Sealer([NEW, OLD])
    assert changed.open(before, "alice") == b"secret"
    with pytest.raises(CannotOpen):
        Sealer([OLD]).open(changed.seal(b"secret", "alice"), "alice")
    assert changed.fingerprint("a") == Sealer([OLD]).fingerprint("a")


def test_a_fingerprint_tells_secrets_apart_and_needs_the_key() -> None:
    sealer = Sealer([NEW])
    assert sealer.fingerprint("a") == sealer.fingerprint("a") != sealer.fingerprint("b")
    assert sealer.fingerprint("a") != Sealer([OLD]).fingerprint("a")


def test_the_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "sealing-keys"
    sealed = sealer_from(path).seal(b"secret", "alice")
    assert path.stat().st_mode & 0o777 == 0o600
    assert sealer_from(path).open(sealed, "alice") == b"secret"
    assert [each.name for each in path.parent.iterdir()] == ["sealing-keys"]


def test_several_keys_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b64encode(NEW) + b"\n" + b64encode(OLD) + b"\n")
    path.chmod(0o600)
    assert sealer_from(path).open(Sealer([OLD]).seal(b"x", "p"), "p") == b"x"


@pytest.mark.parametrize("content", [b"", b"not base64!\n", b64encode(b"short"), b64encode(NEW) + b"\nshort\n"])
def test_a_file_without_keys_stops_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyConfigurationError, match="openssl rand -base64 32"):
        sealer_from(path)


def test_a_file_that_others_can_read_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b64encode(NEW))
    path.chmod(0o640)
    with pytest.raises(KeyConfigurationError, match="chmod 600"):
        sealer_from(path)
    with pytest.raises(KeyConfigurationError, match="cannot be read or made"):
        sealer_from(tmp_path)
