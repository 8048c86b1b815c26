"""The verifier as a service with these settings has it, without the service."""

from pathlib import Path

from app.security.claims import ClaimRules
from app.security.keys import KeySet
from app.security.local_keys import LocalKeys
from app.security.tokens import (
    DEFAULT_AUDIENCE,
    DEFAULT_ISSUER,
    DEFAULT_LEEWAY_S,
    DEFAULT_MAX_LIFETIME_S,
    TokenVerifier,
)


def token_verifier(
    data_dir: Path,
    issuer: str = DEFAULT_ISSUER,
    audience: str = DEFAULT_AUDIENCE,
    keys_file: Path | None = None,
    secret: str | None = None,
    max_lifetime_s: float = DEFAULT_MAX_LIFETIME_S,
    leeway_s: float = DEFAULT_LEEWAY_S,
) -> TokenVerifier:
    """The verifier for the keys of this machine: a JWKS file, an HS256 secret, both, or the service's own key."""
    keys = KeySet(LocalKeys(data_dir, keys_file, secret).read())
    return TokenVerifier(keys, ClaimRules(issuer, audience, max_lifetime_s, leeway_s))
