"""The service's own signing key, for where no issuer of tokens is configured: an RSA key in the data directory.

RS256 rather than ES256: measured, it verifies in a third of the time (docs/security.md), and this service verifies
far more often than it signs. The file is PKCS#8 PEM, mode 0600; whoever reads it can be anyone, so that a wider
mode stops the start.
"""

import os
import stat
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jose import jwk, jws  # type: ignore[import-untyped]  # python-jose ships no types

from app.security import base64url
from app.security.errors import KeyConfigurationError
from app.security.jwks import MIN_RSA_BITS, MIN_RSA_EXPONENT
from app.security.keys import VerificationKey

FILE_NAME = "signing-key.pem"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private RS256 key. `kid` is its thumbprint (RFC 7638). Its repr shows nothing of the key."""

    kid: str
    verification_key: VerificationKey
    jose_key: Any

    def sign(self, claims: dict[str, Any]) -> str:
        """The claims as a compact JWT signed by this key."""
        return str(jws.sign(claims, self.jose_key, headers={"kid": self.kid}, algorithm="RS256"))


def own_signing_key(data_dir: Path) -> SigningKey:
    """The key in the data directory; made at the first call, by exactly one of those who call at once.

    Raises KeyConfigurationError where the file is readable by others, not a key, too weak or cannot be made.
    """
    path = data_dir / FILE_NAME
    try:
        if not path.exists():
            _create(path)
        pem = _read_private(path)
    except OSError as error:
        raise KeyConfigurationError(f"the signing key {path} cannot be read or made: {error.strerror}") from None
    return _signing_key(path, pem)


def _create(path: Path) -> None:
    """Writes a new key beside its place and links it there: never half a file, and never over another's key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".signing-key-", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(new_pem())
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass  # Another process was first; its key is the one.
    finally:
        Path(temporary).unlink()


def new_pem() -> bytes:
    """A new private key, as it is stored."""
    key = rsa.generate_private_key(MIN_RSA_EXPONENT, MIN_RSA_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_private(path: Path) -> bytes:
    with path.open("rb") as file:
        # The open file is asked, not the path, which could name another file by now.
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & _OTHERS:
            raise KeyConfigurationError(
                f"the signing key {path} has mode {mode:04o}, so that others could sign tokens: run `chmod 600 {path}`"
            )
        return file.read()


def _signing_key(path: Path, pem: bytes) -> SigningKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise KeyConfigurationError(f"the signing key {path} is not a private key in PEM without a password") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < MIN_RSA_BITS:
        raise KeyConfigurationError(f"the signing key {path} is not an RSA key of at least {MIN_RSA_BITS} bits")
    kid = _thumbprint(key.public_key().public_numbers())
    public = VerificationKey(kid, "RS256", jwk.construct(key.public_key(), "RS256"))
    return SigningKey(kid, public, jwk.construct(key, "RS256"))


def _thumbprint(numbers: rsa.RSAPublicNumbers) -> str:
    """RFC 7638, section 3: SHA-256 over the required members in the order of their names."""
    modulus, exponent = (
        base64url.encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()
        for number in (numbers.n, numbers.e)
    )
    return base64url.encode(sha256(f'{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}'.encode()).digest()).decode()
