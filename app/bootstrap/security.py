"""The security of a service: who may call."""

from app.security.tokens import TokenVerifier, token_verifier
from app.settings import Settings


def verifier_of(settings: Settings) -> TokenVerifier:
    """What tells whose a token is. Raises KeyConfigurationError."""
    security = settings.security
    return token_verifier(
        settings.storage.data_dir,
        issuer=security.jwt_issuer,
        audience=security.jwt_audience,
        keys_file=security.jwt_keys_file,
        secret=security.jwt_secret,
        max_lifetime_s=security.jwt_max_lifetime_s,
    )
