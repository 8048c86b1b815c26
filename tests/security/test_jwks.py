"""JWKS files: what is taken, what is left out, and what stops the start."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from app.security.errors import KeyConfigurationError
from app.security.jwks import MAX_FILE_BYTES, keys_from_file, keys_from_jwks
from tests.security.forge import RSA_KEY, b64, ec_jwk, jwks, number, rsa_jwk

MODULUS = RSA_KEY.public_key().public_numbers().n


def names(raw: bytes) -> list[tuple[str | None, str]]:
    return [(key.kid, key.algorithm) for key in keys_from_jwks(raw)]


def test_a_key_without_alg_and_use_is_a_signature_key() -> None:
    assert names(jwks(rsa_jwk(), ec_jwk())) == [("rsa-1", "RS256"), ("ec-1", "ES256")]


def test_a_key_with_all_that_issuers_publish() -> None:
    full = rsa_jwk(alg="RS256", use="sig", key_ops=["verify"], x5t="AAAA", x5c=["MIIB"], issuer="https://issuer")
    assert names(jwks(full)) == [("rsa-1", "RS256")]


@pytest.mark.parametrize(
    "other",
    [
        rsa_jwk(kid="x", use="enc"),
        rsa_jwk(kid="x", alg="RS512"),
        rsa_jwk(kid="x", alg="PS256"),
        rsa_jwk(kid="x", alg="RSA-OAEP"),
        rsa_jwk(kid="x", alg="ES256"),
        rsa_jwk(kid="x", alg="HS256"),
        rsa_jwk(kid="x", alg=["RS256"]),
        rsa_jwk(kid="x", key_ops=["encrypt"]),
        rsa_jwk(kid="x", key_ops="verify"),
        rsa_jwk(kid="x", key_ops={}),
        ec_jwk(kid="x", crv="P-384"),
        ec_jwk(kid="x", crv="secp256k1"),
        ec_jwk(kid="x", crv=None),
        ec_jwk(kid="x", alg="RS256"),
        ec_jwk(kid="x", use=1),
        {"kty": "oct", "kid": "x", "k": b64(bytes(32))},
        {"kty": "OKP", "kid": "x", "crv": "Ed25519", "x": b64(bytes(32))},
        {"kty": ["RSA"], "kid": "x"},
        {"kid": "x"},
        {},
    ],
)
def test_keys_for_something_else_are_left_out(other: object) -> None:
    assert names(jwks(other, rsa_jwk())) == [("rsa-1", "RS256")]
    with pytest.raises(KeyConfigurationError, match="no key for RS256 or ES256"):
        keys_from_jwks(jwks(other))


def _weak_rsa(bits: int) -> dict[str, object]:
    return rsa_jwk(n=number(rsa.generate_private_key(65_537, bits).public_key().public_numbers().n))


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (_weak_rsa(1024), "at least 2048 bits and it has 1024"),
        (rsa_jwk(n=number(2**2046 + 1)), "it has 2047"),
        (rsa_jwk(n=number(MODULUS - 1)), "modulus is even"),
        (rsa_jwk(e="Aw"), "exponent is below 65537"),
        (rsa_jwk(e="AQ"), "exponent is below 65537"),
        (rsa_jwk(e=number(65_538)), "key 1 is refused"),
        (rsa_jwk(n=None), "member n is missing"),
        (rsa_jwk(n=""), "member n is missing"),
        (rsa_jwk(e=65_537), "member e is missing or not a string"),
        (rsa_jwk(n=number(MODULUS) + "="), "member n is not base64url"),
        (rsa_jwk(n="+" + number(MODULUS)[1:]), "member n is not base64url"),
        (rsa_jwk(d="AQAB"), "private key"),
        (rsa_jwk(kid=5), "kid of key 1 is not a string"),
        (rsa_jwk(kid=""), "kid of key 1 is not a string"),
        (ec_jwk(x=b64(bytes(32))), "key 1 is refused"),
        (ec_jwk(x=b64(bytes(31))), "32 bytes each"),
        (ec_jwk(y=b64(bytes(33))), "32 bytes each"),
        (ec_jwk(y=None), "member y is missing"),
        (ec_jwk(d=b64(bytes(32))), "private key"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_keys_meant_for_us_that_are_weak_or_malformed_stop_the_start(key: object, why: str) -> None:
    with pytest.raises(KeyConfigurationError, match=why):
        keys_from_jwks(jwks(key))


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[1]}', b'{"keys":[],"keys":[]}', b"\xff", b'"keys"', b"null"],
)
def test_what_is_no_jwk_set(raw: bytes) -> None:
    with pytest.raises(KeyConfigurationError, match=r"strict JSON|not a JWK Set"):
        keys_from_jwks(raw)


def test_a_file_without_any_key() -> None:
    with pytest.raises(KeyConfigurationError, match="no key for RS256 or ES256"):
        keys_from_jwks(b'{"keys":[]}')


def test_a_file_is_read_and_its_problems_name_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(jwks(rsa_jwk()))
    path.chmod(0o644)
    assert [key.kid for key in keys_from_file(path)] == ["rsa-1"]
    path.write_bytes(jwks(rsa_jwk(e="Aw")))
    with pytest.raises(KeyConfigurationError, match=r"keys\.json is not usable: key 1 is refused"):
        keys_from_file(path)


def test_a_file_that_everyone_may_write_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(jwks(rsa_jwk()))
    path.chmod(0o646)
    with pytest.raises(KeyConfigurationError, match="everyone may write"):
        keys_from_file(path)


def test_a_file_that_is_absent_a_folder_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(KeyConfigurationError, match="cannot be read: No such file"):
        keys_from_file(tmp_path / "absent.json")
    with pytest.raises(KeyConfigurationError, match="cannot be read"):
        keys_from_file(tmp_path)
    large = tmp_path / "large.json"
    large.write_bytes(jwks(rsa_jwk()) + b" " * MAX_FILE_BYTES)
    with pytest.raises(KeyConfigurationError, match="larger than"):
        keys_from_file(large)
