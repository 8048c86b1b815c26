"""task-executor doctor: what is wrong with this machine's settings, and how to mend it."""

import asyncio
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.table import Table

from app.bootstrap.security import Security
from app.cli.failures import CommandFailed, ExitCode
from app.cli.own_token import uses_own_key
from app.cli.startup import listen, sentence
from app.cli.tables import cell, out
from app.protocol.resources import to_wire
from app.resources.discovery import CapacityError, configured, discover
from app.security.errors import KeyConfigurationError
from app.security.own_key import FILE_NAME, own_signing_key
from app.settings import Settings, SettingsError, StorageSettings
from app.storage import guard, migrations
from app.storage.database import Database
from app.storage.errors import StorageUnavailable
from app.storage.grants import may_alter_history
from app.storage.usage import Usage
from app.task_types.registry import TaskTypeError, load

MIN_FREE_BYTES = 1_000_000_000
MAX_CLOCK_DIFFERENCE_S = 5.0
STYLES = {"ok": "green", "warn": "yellow", "wrong": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `text` says it, with the fix where there is something to mend."""

    subject: str
    verdict: Literal["ok", "warn", "wrong"]
    text: str


def doctor() -> None:
    """Check the settings, the database, the data directory, the keys, the port and the clock of this machine.

    Exit code 1 where something would keep the service from starting.
    """
    try:
        settings = Settings()
    except SettingsError as error:
        raise CommandFailed(f"The settings are wrong: {error}") from None
    findings = list(examine(settings))
    out().print(_table(findings))
    if any(finding.verdict == "wrong" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check, one after the other; each that needs the database is left out where it cannot be reached."""
    yield Finding("settings", "ok", "every variable is understood")
    yield _task_types(settings)
    yield _capacity(settings.execution.capacity)
    yield from _data_directory(settings.storage)
    yield _keys(settings)
    yield _port(settings.server.host, settings.server.port)
    if settings.storage.database_url is None:
        yield Finding("database", "ok", "none is set: the service runs a Postgres of its own on the data directory")
    else:
        yield from asyncio.run(_database(settings.storage.database_url, unsafe=settings.storage.unsafe_database))


def _task_types(settings: Settings) -> Finding:
    try:
        kinds = load(settings.tasks.task_types)
    except TaskTypeError as error:
        return Finding("task types", "wrong", str(error))
    return Finding("task types", "ok", ", ".join(kind.name for kind in kinds))


def _capacity(text: str | None) -> Finding:
    try:
        capacity = discover() if text is None else configured(text, discover())
    except CapacityError as error:
        return Finding("capacity", "wrong", sentence(error))
    units = to_wire(capacity.amounts())
    return Finding("capacity", "ok", ", ".join(f"{unit} {amount}" for unit, amount in units.items()))


def _data_directory(storage: StorageSettings) -> Iterator[Finding]:
    subject, directory = "data directory", storage.data_dir
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            subject, "wrong", f"{there} cannot be written: give it to this user, or set TASK_EXECUTOR_DATA_DIR"
        )
        return
    mode = stat.S_IMODE(directory.stat().st_mode) if directory.exists() else 0
    if mode & stat.S_IWOTH:
        yield Finding(subject, "wrong", f"anyone can write to {directory}: run `chmod o-w {directory}`")
    else:
        state = "is there" if directory.exists() else "will be made at the first start"
        yield Finding(subject, "ok", f"{directory.resolve()} {state}")
    yield _disk(there)


def _disk(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    text = f"{free / 1e9:.1f} GB free"
    if free < MIN_FREE_BYTES:
        return Finding("disk", "warn", f"{text}: make room, Postgres stops when the disk is full")
    return Finding("disk", "ok", text)


def _keys(settings: Settings) -> Finding:
    security, data_dir = settings.security, settings.storage.data_dir
    try:
        if not uses_own_key(security):
            asyncio.run(_load_keys(settings))
            return Finding("keys", "ok", f"tokens come from the issuer {security.jwt_issuer!r}")
        if not (data_dir / FILE_NAME).exists():
            return Finding("keys", "ok", "the service's own key will be made at the first start")
        own_signing_key(data_dir)
    except KeyConfigurationError as error:
        return Finding("keys", "wrong", str(error))
    return Finding("keys", "ok", "the service's own key: `task-executor token` prints tokens")


async def _load_keys(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        await Security(settings).load(stack)


def _port(host: str, port: int) -> Finding:
    try:
        listen(host, port).close()
    except CommandFailed as failure:
        if _answers(host, port):
            return Finding("port", "warn", f"{host}:{port} is in use: by this service, if it runs. {failure}")
        return Finding("port", "wrong", str(failure))
    return Finding("port", "ok", f"{host}:{port} is free")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


async def _database(url: str, *, unsafe: bool) -> list[Finding]:
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
        return [Finding("database", "wrong", sentence(error))]
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


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = STYLES[finding.verdict]
        table.add_row(cell(finding.verdict, style), cell(finding.subject), cell(finding.text))
    return table
