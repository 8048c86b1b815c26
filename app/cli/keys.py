"""task-executor keys: the service's own keys."""

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer
from rich.table import Table

from app.bootstrap.security import encryption_keys_dir, sealing_keys_file
from app.cli.durations import spell_span
from app.cli.failures import CommandFailed, Usage
from app.cli.local_database import on_database
from app.cli.output import say, tell
from app.cli.own_token import uses_own_key
from app.cli.tables import cell, out
from app.security.envelopes.key_ring import KeyRing, RingKey
from app.security.errors import KeyConfigurationError
from app.security.rotation import rotate_signing_key
from app.security.sealing import CannotOpen, Sealer
from app.security.sealing_keys import SealingKeys
from app.security.token_keys import LOOK_S
from app.security.tokens import DEFAULT_LEEWAY_S
from app.settings import Settings, SettingsError
from app.settings.security import SecuritySettings
from app.storage.database import Database
from app.storage.resealing import Resealed, reseal

SETTLE_S = 2 * LOOK_S
"""A service that runs may seal with the old key until it looks."""

keys = typer.Typer(help="The service's own keys.", no_args_is_help=True)


@keys.callback()
def _keys() -> None:
    """The service's own keys."""


@keys.command()
def rotate(
    *,
    signing: Annotated[bool, typer.Option("--signing", help="The key that signs the service's own tokens.")] = False,
    sealing: Annotated[bool, typer.Option("--sealing", help="The key that seals the secrets of webhooks.")] = False,
    void: Annotated[
        bool,
        typer.Option(
            "--void", help="The old key has leaked: make its tokens void at once, or take it out of the file."
        ),
    ] = False,
) -> None:
    """Put a new key in place of the old one: the key that messages are encrypted with or, with an option, another.

    Services that run on this directory take it up by themselves, within seconds.
    """
    if signing and sealing:
        raise Usage("--signing and --sealing are two keys: rotate one after the other.")
    if void and not (signing or sealing):
        raise Usage("--void goes with --signing or --sealing: an encryption key is void when its file is taken away.")
    try:
        settings = Settings()
        if sealing:
            _rotate_sealing(void=void)
        elif signing:
            _rotate_signing(settings, void=void)
        else:
            _rotate_encryption(settings.security, _ring(settings))
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


def _rotate_sealing(*, void: bool) -> None:
    resealed = on_database(partial(_reseal, void=void))
    left = (
        f"; {resealed.left} are sealed with a key that is not in the file and stay as they are" if resealed.left else ""
    )
    old = "is no longer in the file" if void else "stays in the file, where it opens what backups hold"
    say(
        f"The secrets of webhooks are sealed with a new key from now on. {resealed.done} were sealed anew{left}. "
        f"The old key {old}."
    )


async def _reseal(url: str, settings: Settings, *, void: bool) -> Resealed:
    sealing = SealingKeys(sealing_keys_file(settings))
    sealing.rotate()
    await asyncio.sleep(SETTLE_S)
    database = Database(url, pool_size=1)
    try:
        resealed = await reseal(database, sealing.sealer.key_id, partial(_sealed_anew, sealing.sealer))
    finally:
        await database.close()
    if void:
        sealing.drop_old()
    return resealed


def _sealed_anew(sealer: Sealer, sealed: bytes, purpose: str) -> bytes | None:
    try:
        return sealer.seal(sealer.open(sealed, purpose), purpose)
    except CannotOpen:
        return None
