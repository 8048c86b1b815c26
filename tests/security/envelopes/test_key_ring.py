"""The directory of keys: who makes them, who may read them, which one does what."""

import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.security.envelopes.cipher import seal
from app.security.envelopes.errors import InvalidEnvelope, KeyMissing
from app.security.envelopes.key_ring import KeyRing
from app.security.envelopes.opener import Opener
from app.security.errors import KeyConfigurationError

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)


def files(ring: KeyRing) -> list[Path]:
    return sorted(ring.directory.iterdir())


def test_the_first_key_is_made_for_its_owner_alone(ring: KeyRing) -> None:
    (path,) = files(ring)
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"encryption-\d{8}T\d{12}Z\.[\w-]{43}\.pem", path.name)
    assert ring.current.kid in path.name
    assert ring.current.private.key_size == 2048
    assert ring.current.retired_at is None


def test_what_is_published_is_public_and_for_encryption(ring: KeyRing) -> None:
    (jwk,) = ring.published()
    assert jwk.keys() == {"kty", "use", "alg", "kid", "n", "e"}
    assert (jwk["use"], jwk["alg"], jwk["kid"]) == ("enc", "RSA-OAEP-256", ring.current.kid)


def test_another_process_on_the_directory_has_the_same_keys(ring: KeyRing) -> None:
    other = KeyRing(ring.directory, overlap_s=0)
    other.load()
    assert other.current.kid == ring.current.kid
    assert len(files(ring)) == 1


def test_a_rotation_puts_a_new_key_in_front(ring: KeyRing) -> None:
    first = ring.current
    second = ring.rotate(first.created_at + timedelta(hours=1))
    assert [key.kid for key in ring.keys] == [first.kid, second.kid]
    assert [jwk["kid"] for jwk in ring.published()] == [second.kid]
    retired = ring.find(first.kid)
    assert retired is not None
    assert retired.retired_at == second.created_at
    assert ring.opens(retired, second.created_at + timedelta(minutes=59))
    assert not ring.opens(retired, second.created_at + timedelta(minutes=60))


def test_the_new_key_is_the_newest_whatever_the_clock_says(ring: KeyRing) -> None:
    second = ring.rotate(ring.current.created_at - timedelta(days=1))
    again = KeyRing(ring.directory, overlap_s=0)
    again.load()
    assert again.current.kid == second.kid


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o622])
def test_a_key_that_others_may_touch_stops_the_start(ring: KeyRing, mode: int) -> None:
    (path,) = files(ring)
    path.chmod(mode)
    with pytest.raises(KeyConfigurationError, match=f"has mode {mode:04o}.*chmod 600"):
        KeyRing(ring.directory, overlap_s=0).load()


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_stops_the_start(ring: KeyRing, content: bytes) -> None:
    files(ring)[0].write_bytes(content)
    with pytest.raises(KeyConfigurationError, match="not a private key"):
        KeyRing(ring.directory, overlap_s=0).load()


def test_a_key_under_another_s_name_stops_the_start(ring: KeyRing) -> None:
    first, second = files(ring)[0], ring.rotate(datetime.now(UTC))
    first.write_bytes(files(ring)[1].read_bytes())
    assert second
    with pytest.raises(KeyConfigurationError, match="another key than its name says"):
        KeyRing(ring.directory, overlap_s=0).load()


def test_a_file_with_a_name_of_its_own_stops_the_start(ring: KeyRing) -> None:
    files(ring)[0].rename(ring.directory / "encryption-old.pem")
    with pytest.raises(KeyConfigurationError, match="not named as an encryption key is"):
        KeyRing(ring.directory, overlap_s=0).load()


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(KeyConfigurationError, match="cannot be made"):
        KeyRing(tmp_path / "file" / "keys", overlap_s=0).load()


def test_a_service_that_runs_keeps_its_keys_and_complains_once(ring: KeyRing, caplog: pytest.LogCaptureFixture) -> None:
    kid = ring.current.kid
    ring.rotate(datetime.now(UTC))
    files(ring)[0].unlink()
    files(ring)[0].unlink()
    with caplog.at_level(logging.ERROR):
        ring.refresh()
        ring.refresh()
    assert ring.find(kid) is not None
    assert len(caplog.records) == 1


def test_a_key_whose_file_is_taken_away_opens_nothing_more(ring: KeyRing) -> None:
    kid = ring.current.kid
    ring.rotate(datetime.now(UTC))
    files(ring)[0].unlink()
    ring.refresh()
    assert ring.find(kid) is None


async def test_a_key_made_by_another_process_opens_at_once(ring: KeyRing, opener: Opener) -> None:
    other = KeyRing(ring.directory, overlap_s=3600)
    other.load()
    made = other.rotate(datetime.now(UTC))
    _, inside = await opener.open(seal(b"{}", made.public, kid=made.kid).encode())
    assert inside == b"{}"
    assert ring.current.kid == made.kid


async def test_the_old_key_opens_within_the_overlap_and_content_for_as_long_as_it_is_there(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys", overlap_s=0)
    ring.load()
    old = ring.current
    opener = Opener(ring)
    try:
        ring.rotate(datetime.now(UTC))
        with pytest.raises(InvalidEnvelope, match="retired"):
            await opener.open(seal(b"{}", old.public, kid=old.kid).encode())
        assert len(await opener.unwrap(old.kid, bytes(256))) == 32
    finally:
        opener.close()


async def test_unknown_keys_are_refused_or_named(opener: Opener, ring: KeyRing) -> None:
    with pytest.raises(InvalidEnvelope, match="no key has this kid"):
        await opener.open(seal(b"{}", ring.current.public, kid="unknown").encode())
    with pytest.raises(KeyMissing, match="unknown is not in this node's directory"):
        await opener.unwrap("unknown", bytes(256))
