"""Public keys from a JWKS file (RFC 7517; RFC 7518, sections 6.2 and 6.3), read strictly.

Keys that serve something else (use `enc`, another algorithm, an unknown kty) are left out, as RFC 7517, section 5
asks: issuers publish them beside those for signatures. A key that is meant for us and is weak, malformed or private
stops the start.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk  # type: ignore[import-untyped]  # python-jose ships no types

from app.protocol import strict_json
from app.security import base64url
from app.security.errors import KeyConfigurationError
from app.security.keys import Algorithm, VerificationKey

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

MAX_FILE_BYTES = 1_048_576
MIN_RSA_BITS = 2048
MIN_RSA_EXPONENT = 65_537
"""NIST SP 800-56B, section 6.2: the public exponent is odd and greater than 2**16."""

_P256_BYTES = 32
_WRITABLE_BY_OTHERS = 0o002


def keys_from_file(path: Path) -> list[VerificationKey]:
    """The signature keys (RS256, ES256) of the JWKS file. Raises KeyConfigurationError."""
    try:
        # Who may write this file decides who is trusted.
        if path.stat().st_mode & _WRITABLE_BY_OTHERS:
            raise KeyConfigurationError(f"everyone may write the keys file {path}: run `chmod o-w {path}`")
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeyConfigurationError(f"the keys file {path} cannot be read: {error.strerror}") from None
    try:
        keys = keys_from_jwks(raw)
    except KeyConfigurationError as error:
        raise KeyConfigurationError(f"the keys file {path} is not usable: {error}") from None
    return keys


def keys_from_jwks(raw: bytes) -> list[VerificationKey]:
    """The signature keys (RS256, ES256) of a JWK Set. Raises KeyConfigurationError where there is none."""
    if len(raw) > MAX_FILE_BYTES:
        raise KeyConfigurationError(f"it is larger than {MAX_FILE_BYTES} bytes")
    try:
        document = strict_json.parse(raw)
    except (strict_json.NotJson, strict_json.ForbiddenJson):
        raise KeyConfigurationError("it is not strict JSON") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise KeyConfigurationError('it is not a JWK Set: {"keys": [{…}, …]} is expected')
    keys = [_key(member, number) for number, member in enumerate(members, start=1) if _is_for_us(member)]
    if not keys:
        raise KeyConfigurationError("it has no key for RS256 or ES256 signatures")
    return keys


def _is_for_us(member: dict[str, Any]) -> bool:
    kind = _KINDS.get(str(member.get("kty")))
    if kind is None or member.get("use", "sig") != "sig":
        return False
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return False
    algorithm, curve, _ = kind
    return member.get("alg", algorithm) == algorithm and member.get("crv") == curve


def _key(member: dict[str, Any], number: int) -> VerificationKey:
    kid = member.get("kid")
    if not isinstance(kid, str | None) or kid == "":
        raise KeyConfigurationError(f"the kid of key {number} is not a string")
    if "d" in member:
        raise KeyConfigurationError(f"key {number} is a private key: give its public half only")
    algorithm, _, build = _KINDS[member["kty"]]
    try:
        return VerificationKey(kid, algorithm, jwk.construct(build(member), algorithm))
    except ValueError as error:
        raise KeyConfigurationError(f"key {number} is refused: {error}") from None


def _rsa_key(member: dict[str, Any]) -> rsa.RSAPublicKey:
    modulus, exponent = (int.from_bytes(_octets(member, name), "big") for name in ("n", "e"))
    if modulus.bit_length() < MIN_RSA_BITS:
        raise ValueError(f"an RSA key needs at least {MIN_RSA_BITS} bits and it has {modulus.bit_length()}")
    if modulus % 2 == 0:
        raise ValueError("its modulus is even")
    if exponent < MIN_RSA_EXPONENT:
        raise ValueError(f"its public exponent is below {MIN_RSA_EXPONENT}")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _ec_key(member: dict[str, Any]) -> ec.EllipticCurvePublicKey:
    x, y = _octets(member, "x"), _octets(member, "y")
    if len(x) != _P256_BYTES or len(y) != _P256_BYTES:
        raise ValueError(f"x and y of a P-256 key have {_P256_BYTES} bytes each")
    # Refuses a point that is not on the curve.
    return ec.EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
    ).public_key()


def _octets(member: dict[str, Any], name: str) -> bytes:
    text = member.get(name)
    if not isinstance(text, str) or not text:
        raise ValueError(f"its member {name} is missing or not a string")
    try:
        return base64url.decode(text.encode())
    except ValueError:
        raise ValueError(f"its member {name} is not base64url") from None


_KINDS: dict[str, tuple[Algorithm, str | None, Callable[[dict[str, Any]], PublicKey]]] = {
    "RSA": ("RS256", None, _rsa_key),
    "EC": ("ES256", "P-256", _ec_key),
}
"""By kty: the one algorithm of such a key, its curve, and how it is built."""
