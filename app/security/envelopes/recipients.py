"""The public key that a token is bound to (`cnf.jwk`, RFC 7800, section 3.2): what answers can be encrypted to.

A key that is not fit for that does not make the token unfit: it may serve another purpose (RFC 9449). It is only
when an encrypted answer is asked for that its fault is told. Of a private key nothing is kept.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from app.protocol import strict_json
from app.protocol.roles import AnswerKey
from app.security import base64url
from app.security.envelopes.cipher import open_, seal
from app.security.envelopes.compact import KEY_ALGORITHM, read_envelope
from app.security.envelopes.errors import UnusableAnswerKey
from app.security.jwks import MIN_RSA_BITS, MIN_RSA_EXPONENT
from app.security.rsa_keys import numbers_of, thumbprint

MAX_RSA_BITS = 4096
MAX_RSA_EXPONENT = 2**32
MAX_KID_CHARACTERS = 255
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""What the service answers may be longer than what it takes."""
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody whom an answer can be encrypted for."""

    kid: str
    key: rsa.RSAPublicKey

    def seal(self, answer: bytes) -> bytes:
        """The answer (JSON) as a compact JWE."""
        return seal(answer, self.key, kid=self.kid, cty="json").encode()


def answer_key(member: object) -> AnswerKey:
    """The `jwk` member of a token's `cnf` claim, checked."""
    try:
        recipient = recipient_of_jwk(member)
    except UnusableAnswerKey as error:
        return AnswerKey(None, str(error))
    return AnswerKey(json.dumps(jwk_of(recipient), separators=(",", ":")), None)


@lru_cache(maxsize=1024)
def recipient_of(jwk: str) -> Recipient:
    """The recipient behind a JWK that `answer_key` has checked, as JSON text."""
    return recipient_of_jwk(json.loads(jwk))


def recipient_of_jwk(member: object) -> Recipient:
    """The recipient with this public JWK. Raises UnusableAnswerKey."""
    if not isinstance(member, dict):
        raise UnusableAnswerKey("it is not a JSON object")
    if _PRIVATE & member.keys():
        raise UnusableAnswerKey("it is a private key: bind the token to its public half only, and make a new pair")
    if member.get("kty") != "RSA":
        raise UnusableAnswerKey("it is not an RSA key")
    if member.get("use", "enc") != "enc" or member.get("alg", KEY_ALGORITHM) != KEY_ALGORITHM:
        raise UnusableAnswerKey(f"it is for another use than encryption with {KEY_ALGORITHM}")
    key = _public_key(_number(member, "n"), _number(member, "e"))
    kid = member.get("kid", thumbprint(key))
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARACTERS:
        raise UnusableAnswerKey(f"its kid is not a string of 1 to {MAX_KID_CHARACTERS} characters")
    return Recipient(kid, key)


def recipient_of_file(raw: bytes) -> Recipient:
    """The public half of the key in a file: PEM (public or private) or a public JWK. Raises UnusableAnswerKey."""
    if raw.lstrip().startswith(b"{"):
        try:
            return recipient_of_jwk(strict_json.parse(raw))
        except (strict_json.NotJson, strict_json.ForbiddenJson):
            raise UnusableAnswerKey("it is not JSON") from None
    try:
        key = load_pem_private_key(raw, None).public_key() if b"PRIVATE" in raw else load_pem_public_key(raw)
    except (ValueError, TypeError):
        raise UnusableAnswerKey("it is neither a key in PEM without a password nor a JWK") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise UnusableAnswerKey("it is not an RSA key")
    numbers = key.public_numbers()
    return Recipient(thumbprint(key), _public_key(numbers.n, numbers.e))


def opener_of_file(raw: bytes) -> Callable[[bytes], bytes]:
    """What opens answers with the private key in a PEM file: it raises InvalidEnvelope. Raises UnusableAnswerKey."""
    try:
        key = load_pem_private_key(raw, None)
    except (ValueError, TypeError):
        raise UnusableAnswerKey("it is not a private key in PEM without a password") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UnusableAnswerKey("it is not an RSA key")
    return lambda text: open_(read_envelope(text, limit=MAX_ANSWER_BYTES), key)


def jwk_of(recipient: Recipient) -> dict[str, Any]:
    """The public JWK, with its required members and its kid."""
    exponent, modulus = numbers_of(recipient.key)
    return {"kty": "RSA", "kid": recipient.kid, "n": modulus, "e": exponent}


def _public_key(modulus: int, exponent: int) -> rsa.RSAPublicKey:
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
        raise UnusableAnswerKey(f"an RSA key of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits is needed")
    if modulus % 2 == 0:
        raise UnusableAnswerKey("its modulus is even")
    if exponent % 2 == 0 or not MIN_RSA_EXPONENT <= exponent < MAX_RSA_EXPONENT:
        raise UnusableAnswerKey(f"its exponent is even, below {MIN_RSA_EXPONENT} or beyond 32 bits")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _number(member: dict[str, Any], name: str) -> int:
    text = member.get(name)
    try:
        raw = base64url.decode(text.encode()) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    if not raw:
        raise UnusableAnswerKey(f"its member {name} is missing or not base64url")
    return int.from_bytes(raw, "big")
