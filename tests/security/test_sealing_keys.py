"""The file of sealing keys: made whole, read by nobody else, and taken up when it changes."""

from base64 import b64encode
from pathlib import Path

import pytest

from app.security.errors import KeyConfigurationError
from app.security.sealing import CannotOpen, Sealer
from app.security.sealing_keys import SealingKeys

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def test_the_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "sealing-keys"
    sealed = SealingKeys(path).sealer.seal(b"secret", "alice")
    assert path.stat().st_mode & 0o777 == 0o600
    assert SealingKeys(path).sealer.open(sealed, "alice") == b"secret"
    assert [each.name for each in path.parent.iterdir()] == ["sealing-keys"]


def test_several_keys_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b64encode(NEW) + b"\n" + b64encode(OLD) + b"\n")
    path.chmod(0o600)
    assert SealingKeys(path).sealer.open(Sealer([OLD]).seal(b"x", "p"), "p") == b"x"


@pytest.mark.parametrize("content", [b"", b"not base64!\n", b64encode(b"short"), b64encode(NEW) + b"\nshort\n"])
def test_a_file_without_keys_stops_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyConfigurationError, match="openssl rand -base64 32"):
        SealingKeys(path)


def test_a_file_that_others_can_read_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b64encode(NEW))
    path.chmod(0o640)
    with pytest.raises(KeyConfigurationError, match="chmod 600"):
        SealingKeys(path)
    with pytest.raises(KeyConfigurationError, match="cannot be read or made"):
        SealingKeys(tmp_path)


def test_a_doctor_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyConfigurationError, match="cannot be read"):
        SealingKeys(tmp_path / "keys", must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_a_new_key_seals_at_another_service_as_soon_as_it_looks_and_opens_before(tmp_path: Path) -> None:
    one, other = SealingKeys(tmp_path / "keys"), SealingKeys(tmp_path / "keys")
    before = one.sealer.seal(b"secret", "alice")
    one.rotate()
    after = one.sealer.seal(b"secret", "alice")
    assert after[:8] != before[:8]
    assert other.sealer.open(after, "alice") == b"secret", "it has looked, where it did not know the key"
    assert not other.look(), "there is nothing new"
    assert other.sealer.key_id == one.sealer.key_id == after[:8]
    assert other.sealer.open(before, "alice") == b"secret"
    one.drop_old()
    assert other.look()
    assert other.sealer.open(after, "alice") == b"secret"
    with pytest.raises(CannotOpen):
        other.sealer.open(before, "alice")
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("keys", 0o600)]


def test_a_file_that_is_broken_leaves_the_last_good_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = SealingKeys(tmp_path / "keys")
    sealed, good = keys.sealer.seal(b"secret", "alice"), keys.path.read_bytes()
    for content in (b"broken", good):
        keys.path.write_bytes(content)
        keys.path.chmod(0o600 if content != good else 0o644)
        assert not keys.look()
        assert not keys.look()
        assert keys.sealer.open(sealed, "alice") == b"secret"
    assert len([record for record in caplog.records if "stay as they were" in record.message]) == 2
    keys.path.chmod(0o600)
    assert keys.look()
