"""task-executor migrate: bring the database's schema up to date."""

import asyncio
from typing import Annotated

import typer

from app.cli.failures import CommandFailed
from app.cli.output import say
from app.settings import Settings, SettingsError
from app.storage import migrations
from app.storage.errors import StorageUnavailable
from app.storage.grants import NoSuchRole, grant_to


def migrate(
    grant: Annotated[
        str | None,
        typer.Option(
            "--grant-to", help="Role that the service connects as, where it is not the owner.", metavar="ROLE"
        ),
    ] = None,
) -> None:
    """Bring the schema of the database at DATABASE_URL up to this version; safe to run again."""
    try:
        url = Settings().storage.database_url
    except SettingsError as error:
        raise CommandFailed(str(error)) from None
    if url is None:
        say("Nothing to do: the service's own Postgres is brought up to date at each start of the service.")
        return
    try:
        asyncio.run(migrations.upgrade(url))
        if grant is not None:
            asyncio.run(grant_to(url, grant))
    except (migrations.SchemaMismatch, NoSuchRole) as error:
        raise CommandFailed(str(error)) from None
    except StorageUnavailable as error:
        raise CommandFailed(f"The database cannot be reached: {error}") from None
    say(f"The schema is at revision {migrations.head()}.")
    if grant is not None:
        say(f"{grant} may do what the service needs, and cannot change or remove what is recorded.")
