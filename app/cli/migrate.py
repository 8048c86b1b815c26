"""task-executor migrate: bring the database's schema up to date."""

import asyncio

from app.cli.failures import CommandFailed
from app.cli.output import say
from app.settings import Settings, SettingsError
from app.storage import migrations
from app.storage.errors import StorageUnavailable


def migrate() -> None:
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
    except migrations.SchemaMismatch as error:
        raise CommandFailed(str(error)) from None
    except StorageUnavailable as error:
        raise CommandFailed(f"The database cannot be reached: {error}") from None
    say(f"The schema is at revision {migrations.head()}.")
