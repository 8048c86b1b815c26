"""The service's own signing key: made once, private, and refused where others can read it."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from joserfc.jwk import RSAKey

from app.security.errors import KeyConfigurationError
from app.security.own_key import FILE_NAME, own_signing_key


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption | None = None
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def stored(data_dir: Path, content: bytes, mode: int = 0o600) -> Path:
    path = data_dir / FILE_NAME
    path.write_bytes(content)
    path.chmod(mode)
    return data_dir


def test_it_is_made_once_readable_by_its_owner_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    before = os.umask(0)
    try:
        first = own_signing_key(data_dir)
    finally:
        os.umask(before)
    assert (data_dir / FILE_NAME).stat().st_mode & 0o7777 == 0o600
    assert [path.name for path in data_dir.iterdir()] == [FILE_NAME]
    assert own_signing_key(data_dir).kid == first.kid


def test_its_kid_is_the_thumbprint_of_rfc_7638(tmp_path: Path) -> None:
    key = own_signing_key(tmp_path)
    assert key.kid == RSAKey.import_key((tmp_path / FILE_NAME).read_bytes()).thumbprint()
    assert key.verification_key.kid == key.kid


def test_all_who_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as starters:
        kids = list(starters.map(lambda _: own_signing_key(tmp_path).kid, range(8)))
    assert len(set(kids)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o660, 0o604, 0o601, 0o666])
def test_a_key_that_others_can_reach_stops_the_start(tmp_path: Path, mode: int) -> None:
    own_signing_key(tmp_path)
    path = tmp_path / FILE_NAME
    path.chmod(mode)
    with pytest.raises(KeyConfigurationError, match=f"has mode {mode:04o}.*chmod 600"):
        own_signing_key(tmp_path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_modes_that_only_the_owner_has_are_right(tmp_path: Path, mode: int) -> None:
    kid = own_signing_key(tmp_path).kid
    (tmp_path / FILE_NAME).chmod(mode)
    assert own_signing_key(tmp_path).kid == kid


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem(rsa.generate_private_key(65_537, 2048), BestAvailableEncryption(b"password")),
    ],
    ids=["empty", "text", "broken", "with a password"],
)
def test_a_file_that_is_no_plain_private_key_stops_the_start(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(KeyConfigurationError, match="not a private key in PEM without a password"):
        own_signing_key(stored(tmp_path, content))


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65_537, 1024), ec.generate_private_key(ec.SECP256R1())], ids=["RSA-1024", "EC"]
)
def test_a_weak_key_or_one_of_another_kind_stops_the_start(
    tmp_path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    with pytest.raises(KeyConfigurationError, match="not an RSA key of at least 2048 bits"):
        own_signing_key(stored(tmp_path, pem(key)))


def test_an_operators_own_larger_key_is_taken(tmp_path: Path) -> None:
    larger = rsa.generate_private_key(65_537, 3072)
    assert own_signing_key(stored(tmp_path, pem(larger))).kid == RSAKey.import_key(larger).thumbprint()


def test_a_place_where_no_key_can_be_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / FILE_NAME).mkdir()
    for data_dir in (tmp_path / "file", tmp_path):
        with pytest.raises(KeyConfigurationError, match="cannot be read or made"):
            own_signing_key(data_dir)


def test_neither_repr_nor_the_file_beside_it_shows_the_key(tmp_path: Path) -> None:
    shown = repr(own_signing_key(tmp_path))
    assert "PRIVATE" not in shown
    assert str(RSAKey.import_key((tmp_path / FILE_NAME).read_bytes()).as_dict(private=True)["d"]) not in shown
