"""task-executor keys: the service's own keys."""

import time
from typing import Annotated

import typer

from app.cli.credentials import uses_own_key
from app.cli.failures import CommandFailed, Usage
from app.cli.output import say
from app.security.errors import KeyConfigurationError
from app.security.rotation import rotate_signing_key
from app.security.tokens import DEFAULT_LEEWAY_S
from app.settings import Settings, SettingsError

keys = typer.Typer(help="The service's own keys.", no_args_is_help=True)


@keys.callback()
def _keys() -> None:
    """The service's own keys."""


@keys.command()
def rotate(
    *,
    signing: Annotated[bool, typer.Option("--signing", help="The key that signs the service's own tokens.")] = False,
    void: Annotated[
        bool, typer.Option("--void", help="Make the tokens of the old signing key void at once: it has leaked.")
    ] = False,
) -> None:
    """Put a new key in place of the old one; services that run on this data directory take it up by themselves."""
    if not signing:
        raise Usage("Say which key: --signing")
    try:
        _rotate_signing(Settings(), void=void)
    except (SettingsError, KeyConfigurationError) as error:
        raise CommandFailed(str(error)) from None


def _rotate_signing(settings: Settings, *, void: bool) -> None:
    if not uses_own_key(settings.security):
        raise CommandFailed("Tokens come from a configured issuer: rotate its keys there, they are taken up from here.")
    lifetime_s = settings.security.jwt_max_lifetime_s
    overlap_s = 0 if void else lifetime_s + DEFAULT_LEEWAY_S
    key = rotate_signing_key(settings.storage.data_dir, overlap_s, time.time())
    old = "are void" if void else f"stay valid until they expire, {lifetime_s} seconds at most"
    say(f"Tokens are signed by the new key {key.kid} from now on; those of the old one {old}.")
