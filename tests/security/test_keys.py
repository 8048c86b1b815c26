"""One key, one algorithm, one kid: confusion of keys and algorithms, and keys that are too weak."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.security.errors import InvalidToken, KeyConfigurationError
from app.security.jwks import keys_from_jwks
from app.security.keys import KeySet, VerificationKey, secret_key
from app.security.tokens import TokenVerifier
from tests.security.forge import (
    CLAIMS,
    EC_KEY,
    NOW,
    RSA_KEY,
    RULES,
    SECRET,
    Signer,
    ec_jwk,
    es256,
    forge,
    hs256,
    jwks,
    rs256,
    rsa_jwk,
    verifier,
    with_header,
)

NO_KEY = "no key has this kid and algorithm"


def refused(token: str, cause: str = NO_KEY, by: TokenVerifier | None = None) -> None:
    with pytest.raises(InvalidToken, match=cause):
        (by or verifier()).verify(token, NOW)


def trusting(*keys: object) -> TokenVerifier:
    return TokenVerifier(KeySet(keys_from_jwks(jwks(*keys))), RULES)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "HS256"])
def test_each_algorithm_with_its_own_key(algorithm: str) -> None:
    assert verifier().verify(with_header(algorithm), NOW).subject == "alice"


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1", None])
@pytest.mark.parametrize(
    "public_key",
    [
        RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        RSA_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        RSA_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1),
        EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(rsa_jwk()).encode(),
        json.dumps(ec_jwk(), separators=(",", ":")).encode(),
        b"",
    ],
    ids=["pem", "pem stripped", "der", "pkcs1", "ec pem", "jwk", "ec jwk", "empty"],
)
def test_a_public_key_is_no_hmac_secret(public_key: bytes, kid: str | None) -> None:
    header = {"alg": "HS256"} if kid is None else {"alg": "HS256", "kid": kid}
    cause = NO_KEY if kid else "signature does not fit"
    refused(forge(header, CLAIMS, lambda signed: hs256(signed, public_key)), cause)


def _pss(signed: bytes) -> bytes:
    return RSA_KEY.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def _rs512(signed: bytes) -> bytes:
    return RSA_KEY.sign(signed, padding.PKCS1v15(), hashes.SHA512())


@pytest.mark.parametrize(
    ("alg", "kid", "signer"),
    [
        ("RS512", "rsa-1", _rs512),
        ("RS384", "rsa-1", _rs512),
        ("PS256", "rsa-1", _pss),
        ("ES256K", "ec-1", es256),
        ("ES384", "ec-1", es256),
        ("EdDSA", "ec-1", es256),
        ("HS512", None, hs256),
        ("RSA-OAEP-256", "rsa-1", rs256),
        ("rs256", "rsa-1", rs256),
        ("HS256", "rsa-1", rs256),
        ("RS256", "ec-1", es256),
        ("ES256", "rsa-1", rs256),
    ],
)
def test_another_algorithm_than_the_keys_own(alg: str, kid: str | None, signer: Signer) -> None:
    header = {"alg": alg} if kid is None else {"alg": alg, "kid": kid}
    refused(forge(header, CLAIMS, signer))


@pytest.mark.parametrize(("alg", "kid", "signer"), [("RS256", "rsa-1", _pss), ("RS256", "rsa-1", _rs512)])
def test_another_algorithm_under_the_keys_own_name(alg: str, kid: str, signer: Signer) -> None:
    refused(forge({"alg": alg, "kid": kid}, CLAIMS, signer), "signature does not fit")


@pytest.mark.parametrize(
    "kid", ["../../dev/null", "' OR 1=1--", "", "RSA-1", "rsa-1 ", "rsa-1\x00"[:-1] + "0", "ec-1", "null", "x" * 4000]
)
def test_a_kid_that_is_not_exactly_the_keys(kid: str) -> None:
    refused(with_header("RS256", kid=kid))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_without_a_kid_does_not_reach_a_key_that_has_one(algorithm: str) -> None:
    refused(with_header(algorithm, kid=None))


def test_a_token_with_a_kid_does_not_reach_a_secret_that_has_none() -> None:
    refused(with_header("HS256", kid="rsa-1"))
    refused(with_header("HS256", kid="None"))


def test_a_single_key_without_a_kid_is_for_tokens_without_a_kid() -> None:
    anonymous = trusting(rsa_jwk(kid=None))
    assert anonymous.verify(with_header("RS256", kid=None), NOW).subject == "alice"
    refused(with_header("RS256"), by=anonymous)


@pytest.mark.parametrize("order", [[ec_jwk(), rsa_jwk()], [rsa_jwk(), ec_jwk()]], ids=["ec first", "rsa first"])
def test_the_order_of_keys_does_not_matter(order: list[object]) -> None:
    for algorithm in ("RS256", "ES256"):
        assert trusting(*order).verify(with_header(algorithm), NOW).subject == "alice"


def test_two_keys_with_one_name_stop_the_start() -> None:
    with pytest.raises(KeyConfigurationError, match="two token keys with the kid 'same'"):
        trusting(rsa_jwk(kid="same"), ec_jwk(kid="same"))
    with pytest.raises(KeyConfigurationError, match="two token keys without a kid"):
        KeySet([*keys_from_jwks(jwks(rsa_jwk(kid=None))), secret_key(SECRET)])


@pytest.mark.parametrize("secret", ["", "s", "x" * 31, "é" * 15])
def test_a_secret_below_32_bytes_stops_the_start(secret: str) -> None:
    with pytest.raises(KeyConfigurationError, match="needs at least 32") as refusal:
        secret_key(secret)
    assert secret == "" or f" {secret} " not in f" {refusal.value} "


def test_the_length_of_a_secret_is_counted_in_bytes() -> None:
    assert secret_key("é" * 16).algorithm == "HS256"
    assert secret_key("x" * 32).kid is None


def test_a_secret_of_any_bytes_can_come_from_the_environment() -> None:
    raw = bytes(range(128, 160)) + b"\xff"
    key = secret_key(raw.decode(errors="surrogateescape"))
    token = forge({"alg": "HS256"}, CLAIMS, lambda signed: hs256(signed, raw))
    assert TokenVerifier(KeySet([key]), RULES).verify(token, NOW).subject == "alice"


def test_a_pem_as_a_secret_stops_the_start() -> None:
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyConfigurationError, match="PEM or SSH"):
        secret_key(pem.decode())


class CountingKey:
    """Counts what it is asked to verify, by a real key behind it."""

    def __init__(self, key: VerificationKey) -> None:
        self.real = key.jose_key
        self.asked = 0

    def verify(self, signed: bytes, signature: bytes) -> Any:
        self.asked += 1
        return self.real.verify(signed, signature)


@pytest.mark.parametrize("kid", ["rsa-1", "unknown", "ec-1", None])
def test_an_unknown_kid_costs_as_much_arithmetic_as_a_known_one(kid: str | None) -> None:
    (key,) = keys_from_jwks(jwks(rsa_jwk()))
    counting = CountingKey(key)
    keys = KeySet([VerificationKey(key.kid, key.algorithm, counting)])
    head, body, _ = with_header("RS256", kid=kid).split(".")
    refused(f"{head}.{body}.AAAA", cause="signature|no key", by=TokenVerifier(keys, RULES))
    assert counting.asked == 1


def test_a_key_of_a_stranger_does_not_sign_for_us() -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    token = forge(
        {"alg": "ES256", "kid": "ec-1"}, CLAIMS, lambda signed: stranger.sign(signed, ec.ECDSA(hashes.SHA256()))[-64:]
    )
    refused(token, "signature does not fit")
