"""The embedded server against real faults: kill -9, stale files, other versions, full disks, other accounts."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from sqlalchemy import make_url

from app.storage.embedded import DataDirectoryInUse, EmbeddedPostgres, EmbeddedPostgresError, identity, server
from app.storage.embedded.directory import LONGEST_SOCKET_DIRECTORY
from tests.support.machine import need_program, need_root
from tests.support.service import ROOT
from tests.support.waiting import eventually, wait_until

# A service that only runs the server: says its URL, then waits to be told or killed.
HOLDER = """
import asyncio, sys
from pathlib import Path
from app.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    try:
        print(await server.start(), server.process_id, flush=True)
    except EmbeddedPostgresError as error:
        print("refused:", error, flush=True)
        return
    await asyncio.to_thread(sys.stdin.readline)
    await server.stop()

asyncio.run(main())
"""


class Holder:
    """A process with an embedded server, as the service is one."""

    def __init__(self, data_dir: Path, *prefix: str, python: str = sys.executable, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*prefix, python, "-B", "-c", HOLDER, str(data_dir)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    @property
    def url(self) -> str:
        return self.said.split()[0]

    @property
    def postmaster(self) -> psutil.Process:
        return psutil.Process(int(self.said.split()[1]))

    def kill(self) -> None:
        self.process.kill()
        self._collect()

    def stop(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.close()
        self.process.wait(30)
        return self._collect()

    def _collect(self) -> int:
        status = self.process.wait(30)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        return status


@pytest.fixture
def new_data_dir() -> Iterator[Path]:
    """Not yet made. A short path (pytest's own is too long for a socket), removed with everything in it."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory after its first start, which is the slow one."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    holder = Holder(folder)
    assert holder.stop() == 0
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(made: Path, new_data_dir: Path) -> Path:
    """A copy of it."""
    shutil.copytree(made, new_data_dir)
    return new_data_dir


async def query(url: str, statement: str) -> object:
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def test_first_start_makes_a_durable_utf8_database_with_checksums(new_data_dir: Path) -> None:
    async with EmbeddedPostgres(new_data_dir) as postgres:
        assert make_url(postgres.url).drivername == "postgresql+asyncpg"
        assert make_url(postgres.url).database == "task_executor"
        for setting, value in {
            "server_version_num": "18",
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "data_checksums": "on",
            "server_encoding": "UTF8",
            "max_connections": "200",
            "autovacuum_naptime": "10s",
            "TimeZone": "UTC",
        }.items():
            assert str(await query(postgres.url, f"SHOW {setting}")).startswith(value), setting
        provider = "SELECT datlocprovider::text || ':' || datlocale FROM pg_database WHERE datname = current_database()"
        assert await query(postgres.url, provider) == "b:C.UTF-8"


async def test_data_outlives_a_stop(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as postgres:
        await query(postgres.url, "CREATE TABLE kept (n int)")
        await query(postgres.url, "INSERT INTO kept VALUES (42)")
    async with EmbeddedPostgres(data_dir) as postgres:
        assert await query(postgres.url, "SELECT n FROM kept") == 42


async def test_listens_on_a_private_unix_socket_and_never_on_tcp(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as postgres:
        assert await query(postgres.url, "SHOW listen_addresses") == ""
        assert postgres.process_id is not None
        assert psutil.Process(postgres.process_id).net_connections("tcp") == []
        folder = Path(str(make_url(postgres.url).query["host"]))
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700
        assert (data_dir / "postgres").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["x" * LONGEST_SOCKET_DIRECTORY, "with, comma and: colon 'ü"])
async def test_a_path_that_cannot_hold_a_socket_gets_one_elsewhere(new_data_dir: Path, name: str) -> None:
    async with EmbeddedPostgres(new_data_dir / name) as postgres:
        folder = Path(str(make_url(postgres.url).query["host"]))
        assert folder.parent == Path(tempfile.gettempdir())
        assert folder.stat().st_mode & 0o777 == 0o700
        assert await query(postgres.url, "SELECT 1") == 1
    assert not folder.exists()


async def test_stop_leaves_no_process_and_may_be_repeated(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    assert postgres.process_id is not None
    family = [psutil.Process(postgres.process_id), *psutil.Process(postgres.process_id).children(recursive=True)]
    assert len(family) > 3
    await postgres.stop()
    await postgres.stop()
    assert [process for process in family if not is_gone(process)] == []
    assert postgres.process_id is None


async def test_kill_of_the_service_ends_the_server_and_loses_nothing(data_dir: Path) -> None:
    holder = Holder(data_dir)
    await query(holder.url, "CREATE TABLE kept (n int)")
    await query(holder.url, "INSERT INTO kept VALUES (1)")
    postmaster = holder.postmaster
    holder.kill()
    # At once, while the old server may still be shutting down.
    async with EmbeddedPostgres(data_dir) as postgres:
        assert await query(postgres.url, "SELECT n FROM kept") == 1
        assert is_gone(postmaster)


def test_kill_of_the_service_leaves_no_orphan_without_another_start(data_dir: Path) -> None:
    holder = Holder(data_dir)
    family = [holder.postmaster, *holder.postmaster.children(recursive=True)]
    holder.kill()
    wait_until(lambda: all(is_gone(process) for process in family), "Postgres gone with the service", 30)


async def test_a_killed_server_and_service_recover(data_dir: Path) -> None:
    """The postmaster's death leaves backends that still hold the shared memory for a moment."""
    holder = Holder(data_dir)
    await query(holder.url, "CREATE TABLE kept (n int)")
    await query(holder.url, "INSERT INTO kept VALUES (7)")
    postmaster = holder.postmaster
    holder.process.send_signal(signal.SIGSTOP)
    postmaster.kill()
    holder.kill()
    async with EmbeddedPostgres(data_dir) as postgres:
        assert await query(postgres.url, "SELECT n FROM kept") == 7


async def test_a_server_that_dies_under_the_service_is_started_again(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as postgres:
        await query(postgres.url, "CREATE TABLE kept (n int)")
        await query(postgres.url, "INSERT INTO kept VALUES (3)")
        assert postgres.process_id is not None
        os.kill(postgres.process_id, signal.SIGKILL)
        found = await eventually(
            lambda: query(postgres.url, "SELECT n FROM kept"), "Postgres again", 30, (OSError, asyncpg.PostgresError)
        )
        assert found == 3


async def test_one_data_directory_one_server(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as postgres:
        second = Holder(data_dir)
        assert re.fullmatch(rf"refused: .* is in use by process {os.getpid()}: .*", second.said)
        second.stop()
        with pytest.raises(DataDirectoryInUse) as refused:
            await EmbeddedPostgres(data_dir).start()
        assert refused.value.holder == os.getpid()
        assert await query(postgres.url, "SELECT 1") == 1, "the refused one has not disturbed the first"


async def test_a_stale_postmaster_file_with_a_process_id_that_is_anothers_now(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir):
        pid_file = data_dir / "postgres" / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    # This test's own parent lives, and is no Postgres.
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    pid_file.chmod(0o600)
    async with EmbeddedPostgres(data_dir) as postgres:
        assert await query(postgres.url, "SELECT 1") == 1


async def test_a_half_made_cluster_is_made_again(new_data_dir: Path) -> None:
    half = new_data_dir / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with EmbeddedPostgres(new_data_dir) as postgres:
        assert await query(postgres.url, "SELECT 1") == 1
    assert not half.exists()


async def test_a_cluster_of_another_major_version_is_refused(new_data_dir: Path) -> None:
    cluster = new_data_dir / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by Postgres 16, this release brings 18"):
        await EmbeddedPostgres(new_data_dir).start()
    # The refusal has let go of the directory.
    (cluster / "PG_VERSION").unlink()
    cluster.rmdir()
    async with EmbeddedPostgres(new_data_dir) as postgres:
        assert await query(postgres.url, "SELECT 1") == 1


async def test_a_broken_cluster_says_what_postgres_said(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir):
        pass
    (data_dir / "postgres" / "cluster" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"Starting Postgres failed: .*pg_control"):
        await EmbeddedPostgres(data_dir).start()


async def test_a_data_directory_that_is_a_file_is_refused(new_data_dir: Path) -> None:
    new_data_dir.write_text("")
    with pytest.raises(EmbeddedPostgresError, match="is not a directory"):
        await EmbeddedPostgres(new_data_dir).start()


async def test_a_platform_without_binaries_is_told_to_bring_a_database(
    new_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAJOR", 99)
    with pytest.raises(EmbeddedPostgresError, match="set DATABASE_URL"):
        EmbeddedPostgres(new_data_dir)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [("size=20m", "is full"), ("size=200m,ro", "is on a read-only file system")],
    ids=["full", "read-only"],
)
async def test_a_disk_that_cannot_be_written_is_named(new_data_dir: Path, options: str, sentence: str) -> None:
    need_root()
    mount, unmount = need_program("mount"), need_program("umount")
    new_data_dir.mkdir()
    if subprocess.run([mount, "-t", "tmpfs", "-o", options, "none", new_data_dir], check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with pytest.raises(EmbeddedPostgresError, match=sentence):
            await EmbeddedPostgres(new_data_dir).start()
    finally:
        subprocess.run([unmount, new_data_dir], check=True)


async def test_root_without_user_namespaces_uses_another_account(
    new_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most containers forbid namespaces. The folder above is root's alone, as /root is, and stays so."""
    need_root()
    every = identity._candidates()
    monkeypatch.setattr(identity, "_candidates", lambda: [one for one in every if one.kind == "account"])
    async with EmbeddedPostgres(new_data_dir) as postgres:
        assert postgres.process_id is not None
        assert psutil.Process(postgres.process_id).uids().effective != 0
        assert await query(postgres.url, "SELECT 1") == 1
        assert new_data_dir.parent.stat().st_mode & 0o777 == 0o700
        assert new_data_dir.parent.stat().st_uid == 0
    monkeypatch.undo()
    async with EmbeddedPostgres(new_data_dir) as postgres:
        assert await query(postgres.url, "SELECT 1") == 1, "the files follow when the account changes"


async def test_no_account_that_works_is_one_clear_sentence(new_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_root()
    monkeypatch.setattr(identity, "_candidates", list)
    with pytest.raises(EmbeddedPostgresError, match="start the service as an ordinary user, or set DATABASE_URL"):
        await EmbeddedPostgres(new_data_dir).start()


def test_an_ordinary_user_runs_it_and_root_may_take_over(new_data_dir: Path) -> None:
    need_root()
    setpriv = need_program("setpriv")
    python = system_python()
    new_data_dir.parent.chmod(0o711)
    new_data_dir.mkdir()
    os.chown(new_data_dir, 65534, 65534)
    prefix = (setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups")
    source = Path(identity.__file__)
    if subprocess.run([*prefix, "/usr/bin/env", "test", "-r", source], check=False).returncode:
        pytest.skip("needs a checkout that other accounts may read")
    holder = Holder(new_data_dir, *prefix, python=python, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    assert holder.said.startswith("postgresql+asyncpg://"), holder.said
    assert holder.postmaster.uids().effective == 65534
    assert holder.stop() == 0

    async def take_over() -> object:
        async with EmbeddedPostgres(new_data_dir) as postgres:
            return await query(postgres.url, "SELECT 1")

    assert asyncio.run(take_over()) == 1


def system_python() -> str:
    """A Python of this version that an ordinary user may run; the test run's own may be in root's home."""
    wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in ("/usr/bin", "/usr/local/bin"):
        if Path(folder, wanted).exists() and os.access(ROOT, os.X_OK):
            return str(Path(folder, wanted))
    pytest.skip(f"needs {wanted} outside of root's home")
