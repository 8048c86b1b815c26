"""The published keys: what they are when a key file is not as it should be."""

import json
from pathlib import Path

from app.security.envelopes.key_ring import KeyRing
from app.security.own_key import FILE_NAME, own_signing_key
from app.security.published import PublishedKeys
from app.security.rotation import RETIRED_FILE_NAME, rotate_signing_key
from tests.security.forge import NOW


def published(tmp_path: Path) -> PublishedKeys:
    ring = KeyRing(tmp_path / "encryption-keys", overlap_s=100)
    ring.load()
    return PublishedKeys(ring, tmp_path)


def uses(keys: PublishedKeys) -> list[str]:
    return [key["use"] for key in json.loads(keys.document())["keys"]]


def test_a_service_without_a_signing_key_makes_none_for_this(tmp_path: Path) -> None:
    assert uses(published(tmp_path)) == ["enc"]
    assert not (tmp_path / FILE_NAME).exists()


def test_signing_keys_that_cannot_be_read_leave_the_last_ones_published(tmp_path: Path) -> None:
    kid = own_signing_key(tmp_path).kid
    keys = published(tmp_path)
    good = keys.document()
    (tmp_path / FILE_NAME).chmod(0o644)
    assert keys.document() == good
    (tmp_path / FILE_NAME).chmod(0o600)
    (tmp_path / RETIRED_FILE_NAME).write_text("broken")
    assert keys.document() == good
    (tmp_path / RETIRED_FILE_NAME).unlink()
    rotate_signing_key(tmp_path, overlap_s=1e9, now=NOW)
    assert kid in keys.document().decode(), "retired, and still published"
    assert uses(keys) == ["enc", "sig", "sig"]


def test_signing_keys_that_were_never_read_leave_the_one_to_encrypt_with(tmp_path: Path) -> None:
    own_signing_key(tmp_path)
    (tmp_path / FILE_NAME).write_text("broken")
    assert uses(published(tmp_path)) == ["enc"]
