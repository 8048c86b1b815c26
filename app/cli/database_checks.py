"""What the doctor looks at in the database: version, clock, durability, schema, quotas, and the service's role."""

import asyncio
import time

from app.cli.finding import Finding
from app.settings import StorageSettings
from app.storage import guard, migrations
from app.storage.database import Database
from app.storage.embedded import running_url
from app.storage.errors import StorageUnavailable
from app.storage.grants import may_alter_history
from app.storage.usage import Usage

MAX_CLOCK_DIFFERENCE_S = 5.0


def database(storage: StorageSettings) -> list[Finding]:
    """The database that the settings name, or the data directory's own while a service runs it."""
    if storage.database_url is not None:
        return asyncio.run(_examine(storage.database_url, unsafe=storage.unsafe_database))
    url = running_url(storage.data_dir)
    findings = [] if url is None else asyncio.run(_examine(url, unsafe=storage.unsafe_database))
    # One that was killed has left its address behind.
    if findings and findings[0].verdict == "ok":
        return findings
    text = "none is set: the service runs a Postgres of its own on the data directory"
    return [Finding("database", "ok", f"{text}, which is looked at while it runs")]


async def _examine(url: str, *, unsafe: bool) -> list[Finding]:
    database = Database(url, pool_size=1)
    try:
        findings = [await _server(database), await _clock(database)]
        for subject, check in (("durability", guard.check_durability), ("schema", migrations.check)):
            try:
                await check(database)
                findings.append(Finding(subject, "ok", "as it must be"))
            except (guard.UnfitDatabase, migrations.SchemaMismatch) as error:
                allowed = unsafe and subject == "durability"
                findings.append(Finding(subject, "warn" if allowed else "wrong", str(error)))
        if findings[-1].verdict == "ok":
            findings.append(await _quotas(database))
            findings.append(await _role(database))
        return findings
    except StorageUnavailable as error:
        return [Finding("database", "wrong", f"cannot be reached: {error}. Check DATABASE_URL, and whether it runs")]
    finally:
        await database.close()


async def _quotas(database: Database) -> Finding:
    """What submitters use is counted with every change; here it is counted from the tasks, and corrected."""
    wrong = await Usage(database).recount()
    if wrong:
        names = ", ".join(wrong[:10])
        return Finding("quotas", "warn", f"what {names} use was counted wrong, and is right again: please report it")
    return Finding("quotas", "ok", "what submitters use is what their tasks add up to")


async def _server(database: Database) -> Finding:
    try:
        await guard.check_version(database)
    except guard.UnfitDatabase as error:
        return Finding("database", "wrong", str(error))
    async with database.connect() as connection:
        version = (await connection.exec_driver_sql("SHOW server_version")).scalar_one()
    return Finding("database", "ok", f"Postgres {version} answers")


async def _role(database: Database) -> Finding:
    if await may_alter_history(database):
        return Finding(
            "role",
            "warn",
            "the service's role could change what is recorded: connect as one that does not own the tables "
            "(`task-executor migrate --grant-to ROLE`)",
        )
    return Finding("role", "ok", "what is recorded cannot be changed by the service's role")


async def _clock(database: Database) -> Finding:
    """Leases go by the database's clock, tokens and deadlines by this machine's."""
    before = time.time()
    async with database.connect() as connection:
        theirs = (await connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    difference = float(theirs) - (before + time.time()) / 2
    text = f"{abs(difference):.2f} s {'behind' if difference > 0 else 'ahead of'} the database's"
    if abs(difference) > MAX_CLOCK_DIFFERENCE_S:
        return Finding("clock", "warn", f"{text}: let both follow the same time server")
    return Finding("clock", "ok", text)
