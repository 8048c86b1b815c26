"""task-executor doctor: what is wrong with this machine's settings, and how to mend it."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.table import Table

from app.bootstrap.execution import process_backend
from app.cli.database_checks import database
from app.cli.failures import CommandFailed, ExitCode
from app.cli.finding import Finding, directory_fault
from app.cli.key_checks import audit_directory, encryption_keys, sealing_keys, token_keys
from app.cli.startup import listen, sentence
from app.cli.tables import cell, out
from app.execution.backends.child_user import ChildUserError
from app.protocol.resources import to_wire
from app.resources.discovery import CapacityError, configured, discover
from app.settings import Settings, SettingsError, StorageSettings
from app.task_types.registry import Registry, TaskTypeError, load

MIN_FREE_BYTES = 1_000_000_000
STYLES = {"ok": "green", "warn": "yellow", "wrong": "red"}


def doctor() -> None:
    """Check the settings, the directories, the keys, the port, the database and the clock of this machine.

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
    yield from _task_types(settings)
    yield _capacity(settings.execution.capacity)
    yield from _data_directory(settings.storage)
    yield token_keys(settings)
    yield encryption_keys(settings)
    yield sealing_keys(settings)
    yield audit_directory(settings.storage)
    yield _port(settings.server.host, settings.server.port)
    yield from database(settings.storage)


def _task_types(settings: Settings) -> Iterator[Finding]:
    try:
        kinds = load(settings.tasks.task_types)
    except TaskTypeError as error:
        yield Finding("task types", "wrong", str(error))
        return
    yield Finding("task types", "ok", ", ".join(kind.name for kind in kinds))
    yield _child_user(settings, kinds)


def _child_user(settings: Settings, kinds: Registry) -> Finding:
    subject, name = "child user", settings.execution.child_user
    try:
        process_backend(settings, kinds).check()
    except ChildUserError as error:
        return Finding(subject, "wrong", sentence(error))
    if name is not None:
        return Finding(subject, "ok", f"tasks run as {name}")
    if os.geteuid() == 0:
        return Finding(subject, "warn", "tasks run as root: TASK_EXECUTOR_CHILD_USER names a user that may do less")
    return Finding(subject, "ok", "tasks run as the service does")


def _capacity(text: str | None) -> Finding:
    try:
        capacity = discover() if text is None else configured(text, discover())
    except CapacityError as error:
        return Finding("capacity", "wrong", sentence(error))
    units = to_wire(capacity.amounts())
    return Finding("capacity", "ok", ", ".join(f"{unit} {amount}" for unit, amount in units.items()))


def _data_directory(storage: StorageSettings) -> Iterator[Finding]:
    subject, directory = "data directory", storage.data_dir
    if fault := directory_fault(directory, "TASK_EXECUTOR_DATA_DIR"):
        yield Finding(subject, "wrong", fault)
        return
    state = "is there" if directory.exists() else "will be made at the first start"
    yield Finding(subject, "ok", f"{directory.resolve()} {state}")
    yield _disk(next(each for each in (directory, *directory.absolute().parents) if each.exists()))


def _disk(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    text = f"{free / 1e9:.1f} GB free"
    if free < MIN_FREE_BYTES:
        return Finding("disk", "warn", f"{text}: make room, Postgres stops when the disk is full")
    return Finding("disk", "ok", text)


def _port(host: str, port: int) -> Finding:
    try:
        listen(host, port).close()
    except CommandFailed as failure:
        if _answers(host, port):
            busy = f"{host}:{port} is in use: by this service, if it runs; if not, set TASK_EXECUTOR_PORT to another"
            return Finding("port", "warn", busy)
        return Finding("port", "wrong", str(failure))
    return Finding("port", "ok", f"{host}:{port} is free")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = STYLES[finding.verdict]
        table.add_row(cell(finding.verdict, style), cell(finding.subject), cell(finding.text))
    return table
