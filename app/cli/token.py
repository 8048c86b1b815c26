"""task-executor token: a token signed with the service's own key."""

import time
from pathlib import Path
from typing import Annotated

import typer

from app.cli.durations import parse_span
from app.cli.failures import CommandFailed, Usage
from app.cli.output import print_raw
from app.cli.own_token import user_name, uses_own_key
from app.protocol.roles import Role
from app.security.envelopes.errors import UnusableAnswerKey
from app.security.envelopes.recipients import recipient_of_file
from app.security.errors import KeyConfigurationError
from app.security.issuing import issue
from app.security.own_key import own_signing_key
from app.settings import Settings, SettingsError, variable_of
from app.settings.security import SecuritySettings


def token(
    subject: Annotated[str | None, typer.Option(help="Who the token is for; your user name where left out.")] = None,
    roles: Annotated[
        list[Role] | None, typer.Option("--role", help="What the holder may do; repeatable. Default: submitter.")
    ] = None,
    expires_in: Annotated[str, typer.Option(help="How long it is valid: 30m, 12h, 1d.", metavar="SPAN")] = "12h",
    cnf: Annotated[
        Path | None,
        typer.Option(
            help="A file with your RSA key, PEM or JWK, of which the public half goes into the token: answers can be "
            "encrypted to it.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Print a token, signed with the key in the data directory of this machine's service."""
    try:
        settings = Settings()
        lifetime_s = _lifetime_s(settings.security, expires_in)
        key = own_signing_key(settings.storage.data_dir)
        signed = issue(
            key,
            user_name() if subject is None else subject,
            roles or [Role.SUBMITTER],
            lifetime_s,
            time.time(),
            issuer=settings.security.jwt_issuer,
            audience=settings.security.jwt_audience,
            bound_to=None if cnf is None else recipient_of_file(cnf.read_bytes()),
        )
    except UnusableAnswerKey as error:
        raise Usage(f"--cnf {cnf}: {error}") from None
    except OSError as error:
        raise Usage(f"--cnf {cnf} cannot be read: {error.strerror}") from None
    except (SettingsError, KeyConfigurationError) as error:
        raise CommandFailed(str(error)) from None
    except ValueError as error:
        raise Usage(str(error)) from None
    print_raw(signed)


def _lifetime_s(security: SecuritySettings, expires_in: str) -> int:
    """What was asked for, where this service makes tokens and would take one of that lifetime."""
    if not uses_own_key(security):
        names = ("jwt_keys_file", "jwt_keys_url", "jwt_secret")
        variable = next(variable_of(name) for name in names if getattr(security, name) is not None)
        raise CommandFailed(
            f"Tokens for this service come from the issuer {security.jwt_issuer!r} ({variable} is set): get one there."
        )
    lifetime_s = int(parse_span(expires_in))
    if lifetime_s > security.jwt_max_lifetime_s:
        raise Usage(
            f"--expires-in {expires_in}: this service takes tokens of {security.jwt_max_lifetime_s} seconds at most "
            f"({variable_of('jwt_max_lifetime_s')})"
        )
    return lifetime_s
