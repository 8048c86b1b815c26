"""The service's own signing key, for where no issuer of tokens is configured: an RSA key in the data directory.

RS256 rather than ES256: measured, it verifies in a third of the time (docs/security.md), and this service verifies
far more often than it signs. The file is PKCS#8 PEM, mode 0600; whoever reads it can be anyone, so that a wider
mode stops the start.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from jose import jwk, jws  # type: ignore[import-untyped]  # python-jose ships no types

from app.security import key_files
from app.security.errors import KeyConfigurationError
from app.security.keys import VerificationKey
from app.security.rsa_keys import thumbprint

FILE_NAME = "signing-key.pem"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private RS256 key. `kid` is its thumbprint (RFC 7638). Its repr shows nothing of the key."""

    kid: str
    verification_key: VerificationKey
    jose_key: Any

    def sign(self, claims: dict[str, Any], typ: str = "JWT") -> str:
        """The claims as a compact JWT signed by this key; `typ` tells what is no token (RFC 8725, section 3.11)."""
        return str(jws.sign(claims, self.jose_key, headers={"kid": self.kid, "typ": typ}, algorithm="RS256"))


def own_signing_key(data_dir: Path) -> SigningKey:
    """The key in the data directory; made at the first call, by exactly one of those who call at once.

    Raises KeyConfigurationError where the file is readable by others, not a key, too weak or cannot be made.
    """
    path = data_dir / FILE_NAME
    try:
        if not path.exists():
            # Where another process was first, its key is the one.
            key_files.create(path, new_pem())
        key = key_files.read(path, "signing key", "sign tokens")
    except OSError as error:
        raise KeyConfigurationError(f"the signing key {path} cannot be read or made: {error.strerror}") from None
    return _signing_key(key)


def new_pem() -> bytes:
    """A new private key, as it is stored."""
    return key_files.pem_of(key_files.new_key())


def _signing_key(key: rsa.RSAPrivateKey) -> SigningKey:
    kid = thumbprint(key.public_key())
    public = VerificationKey(kid, "RS256", jwk.construct(key.public_key(), "RS256"))
    return SigningKey(kid, public, jwk.construct(key, "RS256"))
