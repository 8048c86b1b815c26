"""A second Postgres made from a base backup of the first: a standby that takes its place, or a restore to a moment."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import make_url

from app.storage.embedded.directory import ServerDirectory
from app.storage.embedded.identity import environment
from app.storage.embedded.server import MAJOR, programs
from tests.faults.own_postgres import OwnPostgres
from tests.support.waiting import eventually


async def admit_copies(first: OwnPostgres) -> None:
    """Lets programs that copy it connect; its rules know services only."""
    with (first.directory.root / "access.conf").open("a") as rules:
        rules.write("local replication all trust\n")
    await first.execute("SELECT pg_reload_conf()")


async def base_backup(first: OwnPostgres, folder: Path, configuration: str, role: str) -> OwnPostgres:
    """A copy of it in another folder, not started: `role` is the name of the file that says what it is to be."""
    directory = ServerDirectory(folder, MAJOR)
    directory.open()
    directory.hand_over(first.identity)
    directory.close()
    await _run(first, "pg_basebackup", "--pgdata", str(directory.cluster), "--checkpoint", "fast", "--no-sync")
    with (directory.cluster / "postgresql.auto.conf").open("a") as settings:
        settings.write(configuration)
    (directory.cluster / f"{role}.signal").touch()
    return OwnPostgres(folder)


@asynccontextmanager
async def standby_of(first: OwnPostgres, folder: Path) -> AsyncIterator[OwnPostgres]:
    """A running standby that has caught up and follows."""
    await admit_copies(first)
    words = " ".join(f"{name}={value}" for name, value in _connection(first).items())
    second = await base_backup(first, folder, f"primary_conninfo = '{words} application_name=second'\n", "standby")
    await second.start()
    try:
        await eventually(lambda: _follows(first), "the standby follows")
        yield second
    finally:
        await second.stop()


async def promote(standby: OwnPostgres) -> None:
    """It takes the place of the first, which must be gone."""
    await standby.execute("SELECT pg_promote()")


async def until_writable(restored: OwnPostgres) -> None:
    """Waits until it has gone through the log."""
    await eventually(partial(restored.ask, "SELECT NOT pg_is_in_recovery()"), "recovered")


@asynccontextmanager
async def kept_log(first: OwnPostgres) -> AsyncIterator[Path]:
    """The folder in which everything is kept that the server writes ahead, from now on to the end of the block."""
    folder = first.directory.root / "kept"
    folder.mkdir()
    os.chown(folder, *first.identity.owner)
    process = await _start(first, "pg_receivewal", "--directory", str(folder))
    try:
        await eventually(lambda: _follows(first), "the log is received")
        yield folder
        last = await first.ask("SELECT pg_walfile_name(pg_switch_wal())")
        await eventually(partial(_is_there, folder / last), "the log is whole")
    finally:
        process.terminate()
        await process.wait()


async def copy_for_restore(first: OwnPostgres, folder: Path, log: Path, point: str) -> OwnPostgres:
    """A base backup that, started, goes through the kept log as far as to a restore point, and serves from there."""
    configuration = f"""
restore_command = 'cp {log}/%f %p'
recovery_target_name = '{point}'
recovery_target_action = 'promote'
"""
    return await base_backup(first, folder, configuration, "recovery")


async def _is_there(file: Path) -> bool:
    return file.exists()


async def _follows(first: OwnPostgres) -> bool:
    return bool(await first.ask("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')"))


def _connection(first: OwnPostgres) -> dict[str, str]:
    url = make_url(first.url)
    return {"host": str(url.query["host"]), "user": str(url.username)}


async def _start(first: OwnPostgres, program: str, *arguments: str) -> asyncio.subprocess.Process:
    connection = _connection(first)
    options = [*arguments, "--host", connection["host"], "--username", connection["user"], "--no-password"]
    command = first.identity.command(programs() / program, *options)
    return await asyncio.create_subprocess_exec(*command, cwd="/", env=environment())


async def _run(first: OwnPostgres, program: str, *arguments: str) -> None:
    process = await _start(first, program, *arguments)
    assert await process.wait() == 0, f"{program} has failed"
