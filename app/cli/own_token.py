"""A token made with the key of a service on this machine, for who may read that key."""

import getpass
import os
import time
from pathlib import Path

from app.protocol.roles import Role
from app.security.envelopes.recipients import recipient_of_file
from app.security.errors import KeyConfigurationError
from app.security.issuing import issue
from app.security.own_key import FILE_NAME, own_signing_key
from app.settings import Settings, SettingsError
from app.settings.security import SecuritySettings

LIFETIME_S = 24 * 3600
"""Long enough for the longest watch; the token is kept nowhere."""


def user_name() -> str:
    """The name of the user of the operating system; the number where the account has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def uses_own_key(security: SecuritySettings) -> bool:
    """Tokens are the service's own: no issuer is configured."""
    return security.jwt_keys_file is None and security.jwt_keys_url is None and security.jwt_secret is None


def own_token(role: Role, private_key: Path | None = None) -> str | None:
    """A token of the role for this machine's user, where the service's own key lies here and may be read."""
    try:
        settings = Settings()
        data_dir: Path = settings.storage.data_dir
        # A key that is not there yet is for the service to make: a client leaves no files behind.
        if not uses_own_key(settings.security) or not (data_dir / FILE_NAME).is_file():
            return None
        security = settings.security
        lifetime_s = min(LIFETIME_S, security.jwt_max_lifetime_s)
        return issue(
            own_signing_key(data_dir),
            user_name(),
            [role],
            lifetime_s,
            time.time(),
            issuer=security.jwt_issuer,
            audience=security.jwt_audience,
            bound_to=None if private_key is None else recipient_of_file(private_key.read_bytes()),
        )
    except (SettingsError, KeyConfigurationError, OSError, ValueError):
        return None
