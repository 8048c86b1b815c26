"""Who the person at the command line is: the token given, or one made with the key of a service on this machine."""

import getpass
import os
import time
from collections.abc import Callable
from pathlib import Path

from app.cli.failures import CommandFailed, Usage
from app.cli.service import Service, is_local
from app.protocol.roles import Role
from app.settings import Settings, SettingsError
from app.settings.security import SecuritySettings

LIFETIME_S = 24 * 3600
"""Long enough for the longest watch; the token is kept nowhere."""


def connect(url: str, token: str | None, role: Role = Role.SUBMITTER, private_key: Path | None = None) -> Service:
    """The service at `url`, as the holder of `token` or, left out, as this machine's user where that is possible.

    The user then has the `role`: who can read the service's own key can give any to anyone.

    Without either the service is asked without a token, and says itself what is missing. Answers are asked for
    encrypted where a `private_key` opens them; a token made here is bound to it. Raises Usage.
    """
    opener = None if private_key is None else _opener(private_key)
    own = _own_token(role, private_key) if token is None and is_local(url) else None
    return Service(url, token or own, opener)


def _opener(private_key: Path) -> Callable[[bytes], bytes]:
    # Loaded here, not above: as below.
    from app.security.envelopes.errors import InvalidEnvelope, UnusableAnswerKey  # noqa: PLC0415 - see above
    from app.security.envelopes.recipients import opener_of_file  # noqa: PLC0415 - see above

    try:
        open_ = opener_of_file(private_key.read_bytes())
    except OSError as error:
        raise Usage(f"{private_key} cannot be read: {error.strerror}") from None
    except UnusableAnswerKey as error:
        raise Usage(f"{private_key}: {error}") from None

    def open_answer(text: bytes) -> bytes:
        try:
            return open_(text)
        except InvalidEnvelope:
            raise CommandFailed(f"The answer does not open with {private_key}: is the token bound to it?") from None

    return open_answer


def user_name() -> str:
    """The name of the user of the operating system; the number where the account has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def uses_own_key(security: SecuritySettings) -> bool:
    """Tokens are the service's own: no issuer is configured."""
    return security.jwt_keys_file is None and security.jwt_keys_url is None and security.jwt_secret is None


def _own_token(role: Role, private_key: Path | None) -> str | None:
    """A token of the role for this machine's user, where the service's own key lies here and may be read."""
    # Loaded here, not above: half of a command's start would go into cryptography, needed or not.
    from app.security.envelopes.recipients import recipient_of_file  # noqa: PLC0415 - see above
    from app.security.errors import KeyConfigurationError  # noqa: PLC0415 - see above
    from app.security.issuing import issue  # noqa: PLC0415 - see above
    from app.security.own_key import FILE_NAME, own_signing_key  # noqa: PLC0415 - see above

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
