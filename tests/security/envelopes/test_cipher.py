"""Opening and sealing: what is altered stays closed, for one reason; others open what is sealed, and the other way."""

import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwe as joserfc_jwe
from joserfc.jwk import RSAKey
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk

from app.security.envelopes.cipher import open_, seal, unwrap, wrap
from app.security.envelopes.compact import read_envelope
from app.security.envelopes.errors import InvalidEnvelope
from tests.security.envelopes.forge import HEADER, MESSAGE, OAEP, envelope, flipped
from tests.security.forge import RSA_KEY

STRANGER = rsa.generate_private_key(65_537, 2048)
PEM = RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
CLOSED = "the envelope does not open with the key that it names"


def opened(text: str, key: rsa.RSAPrivateKey = RSA_KEY) -> bytes:
    return open_(read_envelope(text.encode()), key)


def cause(text: str) -> str:
    with pytest.raises(InvalidEnvelope) as error:
        opened(text)
    return error.value.cause


def test_what_is_sealed_opens() -> None:
    assert opened(seal(MESSAGE, RSA_KEY.public_key(), kid="ours")) == MESSAGE
    assert opened(envelope()) == MESSAGE


@pytest.mark.parametrize("position", range(1, 5))
def test_a_flipped_bit_closes_it(position: int) -> None:
    assert cause(flipped(position, envelope())) == CLOSED


def test_the_header_is_covered_too() -> None:
    parts = envelope(sub="alice").split(".")
    assert cause(".".join([envelope(sub="mallory").split(".")[0], *parts[1:]])) == CLOSED


@pytest.mark.parametrize("position", range(1, 5))
def test_parts_of_two_messages_do_not_open(position: int) -> None:
    one, other = envelope().split("."), envelope().split(".")
    one[position] = other[position]
    assert cause(".".join(one)) == CLOSED


@pytest.mark.parametrize(
    "encrypted_key",
    [
        b"",
        b"short",
        bytes(256),
        b"\xff" * 256,
        os.urandom(256),
        os.urandom(257),
        RSA_KEY.public_key().encrypt(b"sixteen bytes...", OAEP),
        RSA_KEY.public_key().encrypt(bytes(33), OAEP),
        STRANGER.public_key().encrypt(bytes(32), OAEP),
    ],
    ids=["empty", "short", "zeros", "above-n", "random", "long", "16-bytes", "33-bytes", "another's"],
)
def test_a_bad_key_fails_as_a_bad_content_does(encrypted_key: bytes) -> None:
    assert cause(envelope(encrypted_key=encrypted_key)) == CLOSED


def test_a_key_that_does_not_decrypt_is_replaced_by_a_random_one() -> None:
    found = {unwrap(bytes(256), RSA_KEY) for _ in range(5)}
    assert {len(key) for key in found} == {32}
    assert len(found) == 5
    assert unwrap(wrap(b"k" * 32, RSA_KEY.public_key()), RSA_KEY) == b"k" * 32


def test_joserfc_opens_what_is_sealed_here_and_seals_what_opens_here() -> None:
    key = RSAKey.import_key(PEM)
    registry: Any = joserfc_jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A256GCM"])
    sealed = seal(MESSAGE, RSA_KEY.public_key(), kid="ours", cty="json")
    assert joserfc_jwe.decrypt_compact(sealed, key, registry=registry).plaintext == MESSAGE
    assert opened(joserfc_jwe.encrypt_compact(HEADER, MESSAGE, key, registry=registry)) == MESSAGE


def test_jwcrypto_opens_what_is_sealed_here_and_seals_what_opens_here() -> None:
    key = jwcrypto_jwk.JWK.from_pem(PEM)
    theirs = jwcrypto_jwe.JWE()
    theirs.deserialize(seal(MESSAGE, RSA_KEY.public_key(), kid="ours", cty="json"), key)
    assert theirs.payload == MESSAGE
    made = jwcrypto_jwe.JWE(MESSAGE, recipient=key, protected=HEADER)
    assert opened(made.serialize(compact=True)) == MESSAGE
