"""Makes tokens of any shape, good and bad, by cryptography alone: a forger does not ask python-jose."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from app.security.claims import ClaimRules
from app.security.jwks import keys_from_jwks
from app.security.keys import KeySet, secret_key
from app.security.tokens import TokenVerifier

NOW = 1_790_000_000.0
SECRET = "a secret of the tests, 32 bytes and more"
RSA_KEY = rsa.generate_private_key(65_537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
CLAIMS: dict[str, Any] = {
    "iss": "issuer",
    "aud": "audience",
    "sub": "alice",
    "iat": int(NOW) - 60,
    "exp": int(NOW) + 600,
    "roles": ["submitter"],
}
RULES = ClaimRules("issuer", "audience", max_lifetime_s=86_400, leeway_s=30)

Signer = Callable[[bytes], bytes]


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int) -> str:
    """A number as a JWK spells it."""
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def hs256(signed: bytes, secret: bytes = SECRET.encode()) -> bytes:
    """HMAC with SHA-256."""
    return hmac.digest(secret, signed, sha256)


def rs256(signed: bytes) -> bytes:
    """RSASSA-PKCS1-v1_5 with SHA-256."""
    return RSA_KEY.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def es256(signed: bytes) -> bytes:
    """ECDSA on P-256 with SHA-256: r and s, 32 bytes each."""
    r, s = decode_dss_signature(EC_KEY.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


HEADERS: dict[str, tuple[dict[str, Any], Signer]] = {
    "RS256": ({"alg": "RS256", "kid": "rsa-1", "typ": "JWT"}, rs256),
    "ES256": ({"alg": "ES256", "kid": "ec-1", "typ": "JWT"}, es256),
    "HS256": ({"alg": "HS256", "typ": "JWT"}, hs256),
}
"""The header and the signer of a valid token, by algorithm."""


def forge(header: object, payload: object, signer: Signer = hs256) -> str:
    """A token of these parts, truly signed. Bytes go in as they are, anything else as JSON."""
    signed = f"{b64(_json(header))}.{b64(_json(payload))}"
    return f"{signed}.{b64(signer(signed.encode()))}"


def with_header(algorithm: str = "HS256", /, **members: object) -> str:
    """A valid token but for these members of its header; None leaves one out."""
    header, signer = HEADERS[algorithm]
    return forge(_without_none({**header, **members}), CLAIMS, signer)


def with_claims(**claims: object) -> str:
    """A token that is valid but for these claims; `...` leaves one out."""
    return forge(HEADERS["HS256"][0], {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...})


def rsa_jwk(**members: object) -> dict[str, object]:
    """The public RSA key as a JWK, with these members changed; None leaves one out."""
    public = RSA_KEY.public_key().public_numbers()
    known: dict[str, object] = {"kty": "RSA", "kid": "rsa-1", "n": number(public.n), "e": number(public.e)}
    return _without_none({**known, **members})


def ec_jwk(**members: object) -> dict[str, object]:
    """The public EC key as a JWK, with these members changed; None leaves one out."""
    public = EC_KEY.public_key().public_numbers()
    known: dict[str, object] = {
        "kty": "EC",
        "kid": "ec-1",
        "crv": "P-256",
        "x": b64(public.x.to_bytes(32, "big")),
        "y": b64(public.y.to_bytes(32, "big")),
    }
    return _without_none({**known, **members})


def jwks(*keys: object) -> bytes:
    """A JWK Set file."""
    return json.dumps({"keys": keys}).encode()


def verifier(cached_tokens: int = 100) -> TokenVerifier:
    """Trusts all three keys."""
    keys = [*keys_from_jwks(jwks(ec_jwk(), rsa_jwk())), secret_key(SECRET)]
    return TokenVerifier(KeySet(keys), RULES, cached_tokens)


def _without_none(members: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}


def _json(part: object) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()
