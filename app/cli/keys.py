"""task-executor keys: the service's own keys."""

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from app.bootstrap.security import encryption_keys_dir
from app.cli.durations import spell_span
from app.cli.failures import CommandFailed, Usage
from app.cli.output import say, tell
from app.cli.own_token import uses_own_key
from app.cli.tables import cell, out
from app.security.envelopes.key_ring import KeyRing, RingKey
from app.security.errors import KeyConfigurationError
from app.security.rotation import rotate_signing_key
from app.security.tokens import DEFAULT_LEEWAY_S
from app.settings import Settings, SettingsError
from app.settings.security import SecuritySettings

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
    """Put a new key in place of the old one: the key that messages are encrypted with or, with --signing, the other.

    Services that run on this directory take it up by themselves, within seconds.
    """
    if void and not signing:
        raise Usage("--void goes with --signing: an encryption key is void when its file is taken away.")
    try:
        settings = Settings()
        _rotate_signing(settings, void=void) if signing else _rotate_encryption(settings.security, _ring(settings))
    except (SettingsError, KeyConfigurationError) as error:
        raise CommandFailed(str(error)) from None


@keys.command("list")
def list_keys() -> None:
    """List the keys for encrypted messages, the current one first, and what the others still open."""
    try:
        ring = _ring(Settings())
        ring.reread()
    except (SettingsError, KeyConfigurationError) as error:
        raise CommandFailed(str(error)) from None
    table = Table("key", "made", "opens messages", box=None, pad_edge=False, header_style="bold")
    for key in reversed(ring.keys):
        table.add_row(cell(key.kid), cell(f"{key.created_at:%Y-%m-%d %H:%M:%S} UTC"), cell(_opens(ring, key)))
    out().print(table)
    if not ring.keys:
        tell(f"There is no key in {ring.directory} yet: the service makes one at its first start.")


def _ring(settings: Settings) -> KeyRing:
    return KeyRing(encryption_keys_dir(settings), settings.security.encryption_overlap_s)


def _opens(ring: KeyRing, key: RingKey) -> str:
    if key.retired_at is None:
        return "yes: it is the current key"
    until = f"{key.retired_at + ring.overlap:%Y-%m-%d %H:%M:%S} UTC"
    if ring.opens(key, datetime.now(UTC)):
        return f"until {until}, and what is stored for as long as its file is there"
    return f"no, since {until}; what is stored for as long as its file is there"


def _rotate_encryption(security: SecuritySettings, ring: KeyRing) -> None:
    ring.reread()
    key = ring.rotate(datetime.now(UTC))
    say(
        f"Messages are encrypted with the new key {key.kid} from now on; the one before opens messages for "
        f"{spell_span(security.encryption_overlap_s)} more, and what is stored for as long as its file is there."
    )


def _rotate_signing(settings: Settings, *, void: bool) -> None:
    if not uses_own_key(settings.security):
        raise CommandFailed("Tokens come from a configured issuer: rotate its keys there, they are taken up from here.")
    lifetime_s = settings.security.jwt_max_lifetime_s
    overlap_s = 0 if void else lifetime_s + DEFAULT_LEEWAY_S
    key = rotate_signing_key(settings.storage.data_dir, overlap_s, time.time())
    old = "are void" if void else f"stay valid until they expire, {lifetime_s} seconds at most"
    say(f"Tokens are signed by the new key {key.kid} from now on; those of the old one {old}.")
