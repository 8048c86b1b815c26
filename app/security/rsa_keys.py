"""RSA public keys as JWKs (RFC 7517; RFC 7518, section 6.3), and their names (RFC 7638)."""

from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from app.security import base64url


def thumbprint(key: rsa.RSAPublicKey) -> str:
    """The key's name: SHA-256 over the required members in the order of their names (RFC 7638, section 3)."""
    exponent, modulus = numbers_of(key)
    return base64url.encode(sha256(f'{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}'.encode()).digest()).decode()


def numbers_of(key: rsa.RSAPublicKey) -> tuple[str, str]:
    """Exponent and modulus, as a JWK spells them."""
    numbers = key.public_numbers()
    return _text(numbers.e), _text(numbers.n)


def public_jwk(key: rsa.RSAPublicKey, use: str, algorithm: str, kid: str) -> dict[str, Any]:
    """The key as the service publishes it: for one use and one algorithm."""
    exponent, modulus = numbers_of(key)
    return {"kty": "RSA", "use": use, "alg": algorithm, "kid": kid, "n": modulus, "e": exponent}


def _text(number: int) -> str:
    return base64url.encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()
