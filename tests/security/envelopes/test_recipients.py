"""The key that a token is bound to: what is not fit to be encrypted to, and that nothing private is kept."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from app.security.envelopes.cipher import open_
from app.security.envelopes.compact import read_envelope
from app.security.envelopes.errors import UnusableAnswerKey
from app.security.envelopes.recipients import answer_key, recipient_of, recipient_of_file, recipient_of_jwk
from tests.security.forge import NOW, RSA_KEY, b64, ec_jwk, number, rsa_jwk, verifier, with_claims

MODULUS = RSA_KEY.public_key().public_numbers().n
SMALL = rsa.generate_private_key(65_537, 1024).public_key().public_numbers().n
PKCS8 = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_an_answer_opens_with_the_private_half() -> None:
    found = answer_key(rsa_jwk())
    assert found.fault is None
    assert found.jwk is not None
    envelope = read_envelope(recipient_of(found.jwk).seal(b'{"a":1}'))
    assert envelope.kid == "rsa-1"
    assert open_(envelope, RSA_KEY) == b'{"a":1}'


def test_a_key_without_a_name_goes_by_its_thumbprint() -> None:
    assert len(recipient_of_jwk(rsa_jwk(kid=None)).kid) == 43


@pytest.mark.parametrize(
    ("jwk", "fault"),
    [
        (rsa_jwk(n=number(SMALL)), "2048 to 4096 bits"),
        (rsa_jwk(n=b64(b"\xff" * 1025)), "2048 to 4096 bits"),
        (rsa_jwk(n=number(MODULUS - 1)), "even"),
        (rsa_jwk(e="AQ"), "exponent"),
        (rsa_jwk(e="Aw"), "exponent"),
        (rsa_jwk(e=number(65_538)), "exponent"),
        (rsa_jwk(e=number(MODULUS)), "exponent"),
        (rsa_jwk(d="QQ"), "private key"),
        (rsa_jwk(p="QQ"), "private key"),
        (rsa_jwk(oth=[]), "private key"),
        ({"kty": "oct", "k": "QQ"}, "private key"),
        (ec_jwk(), "not an RSA key"),
        (rsa_jwk(use="sig"), "another use"),
        (rsa_jwk(alg="RSA-OAEP"), "another use"),
        (rsa_jwk(alg=["RSA-OAEP-256"]), "another use"),
        (rsa_jwk(n=None), "member n"),
        (rsa_jwk(n=1), "member n"),
        (rsa_jwk(e="A?"), "member e"),
        (rsa_jwk(kid=""), "kid"),
        (rsa_jwk(kid=7), "kid"),
        (rsa_jwk(kid="k" * 256), "kid"),
        (rsa_jwk(kty=["RSA"]), "not an RSA key"),
        ([], "not a JSON object"),
        ("-----BEGIN PUBLIC KEY-----", "not a JSON object"),
        (None, "not a JSON object"),
    ],
)
def test_an_unfit_key_has_a_fault_and_nothing_of_it_is_kept(jwk: Any, fault: str) -> None:
    found = answer_key(jwk)
    assert found.jwk is None
    assert found.fault is not None
    assert fault in found.fault


def test_a_token_brings_its_key() -> None:
    principal = verifier().verify(with_claims(cnf={"jwk": rsa_jwk()}), NOW)
    assert principal.answer_key is not None
    assert json.loads(principal.answer_key.jwk or "") == rsa_jwk()


@pytest.mark.parametrize("cnf", [..., None, {}, {"jkt": "thumb"}, {"kid": "k"}, "text", []])
def test_a_token_need_not_bring_one(cnf: object) -> None:
    assert verifier().verify(with_claims(cnf=cnf), NOW).answer_key is None


def test_a_token_with_a_private_key_keeps_nothing_of_it() -> None:
    principal = verifier().verify(with_claims(cnf={"jwk": rsa_jwk(d="c2VjcmV0")}), NOW)
    assert principal.answer_key is not None
    assert principal.answer_key.jwk is None
    assert "c2VjcmV0" not in repr(principal)


@pytest.mark.parametrize(
    "raw",
    [
        RSA_KEY.private_bytes(*PKCS8),
        RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(rsa_jwk()).encode(),
    ],
    ids=["private PEM", "public PEM", "JWK"],
)
def test_a_file_gives_its_public_half(raw: bytes) -> None:
    assert recipient_of_file(raw).key.public_numbers() == RSA_KEY.public_key().public_numbers()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"-----BEGIN PUBLIC KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n" * 10_000,
        json.dumps(rsa_jwk(d="QQ")).encode(),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(*PKCS8),
        rsa.generate_private_key(65_537, 1024).private_bytes(*PKCS8),
    ],
)
def test_a_file_that_is_no_such_key_is_refused(raw: bytes) -> None:
    with pytest.raises(UnusableAnswerKey):
        recipient_of_file(raw)
