"""Signed heads from outside: what an administrator of the database, or of the files, has done is named."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.bootstrap.audit import AuditHeads
from app.protocol.task import Task
from app.security.head_signing import KEYS_FILE_NAME
from app.settings import StorageSettings
from app.storage import retention
from app.storage.erasure import Erasures
from app.storage.head_files import files_in
from tests.cli.conftest import Ended, Run
from tests.storage.stored import Store, accepted_task, open_store, started
from tests.storage.test_retention import MONTH, finished, put_into_weeks, task_of

FIRST, SECOND, THIRD = 0, 1, 2


class Trail:
    """A database with three heads: of three tasks that run, of their ends, and of nothing new."""

    def __init__(self, url: str, data_dir: Path, run: Run) -> None:
        self._url = url
        self._run = run
        self.data_dir = data_dir
        self.directory = data_dir / "audit"
        self.tasks = [started(accepted_task()) for _ in range(3)]
        asyncio.run(self._fill())
        (self.file,) = files_in(self.directory)

    async def _fill(self) -> None:
        async with open_store(self._url) as store:
            await store.put(*self.tasks)
            await self._heads(store, 1)
            for task in self.tasks:
                task.complete(datetime.now(UTC), "{}", {})
            await store.put(*self.tasks)
            await self._heads(store, 2)

    async def _heads(self, store: Store, count: int) -> None:
        heads = AuditHeads(StorageSettings(), store.database)
        for _ in range(count):
            await heads.make()
        await heads._trail.close()

    def act(self, work: Callable[[Store], Awaitable[object]]) -> None:
        async def with_store() -> None:
            async with open_store(self._url) as store:
                await work(store)

        asyncio.run(with_store())

    def make(self) -> None:
        """One head more."""
        self.act(lambda store: self._heads(store, 1))

    def sql(self, *statements: str, task: Task | None = None) -> None:
        async def change(store: Store) -> None:
            for statement in statements:
                await store.sql.execute(statement, *([] if task is None else [task.task_id]))

        self.act(change)

    def verify(self, *more: str) -> Ended:
        return self._run("audit", "verify", "--against", str(self.directory), *more)

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().splitlines(keepends=True)


@pytest.fixture
def trail(database_url: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Trail:
    monkeypatch.setenv("DATABASE_URL", database_url.replace("+asyncpg", ""))
    return Trail(database_url, tmp_path / "data", run)


def test_what_is_as_it_was(trail: Trail) -> None:
    ended = trail.verify()
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Heads 1 to 3, the last of ")
    assert "9 entries, 0 tasks dropped" in ended.out
    assert ended.out.endswith("All that the heads name is there as it was\n")
    both = trail.verify("--all")
    assert both.code == 0
    assert "every history is whole" in both.out


def test_a_tail_cut_off_in_both_tables(trail: Trail) -> None:
    task = trail.tasks[SECOND]
    trail.sql(
        "DELETE FROM history WHERE task_id = $1 AND sequence > 6",
        "UPDATE tasks SET (sequence, head_hash) = (SELECT sequence, hash FROM history WHERE task_id = $1 AND "
        "sequence = 6) WHERE task_id = $1",
        task=task,
    )
    ended = trail.verify("--all")
    assert ended.code == 1
    assert "every history is whole" in ended.out
    assert f"{task.task_id} 7: missing: the head knows of 8 messages\n" in ended.out
    assert trail.tasks[FIRST].task_id not in ended.out


def test_a_chain_that_was_replaced_as_a_whole(trail: Trail) -> None:
    """By one that is consistent in itself: the same task, told otherwise from the first message on."""
    true = trail.tasks[SECOND]

    async def replace(store: Store) -> None:
        for table in ("tasks", "history", "idempotency_keys"):
            await store.sql.execute(f"DELETE FROM {table} WHERE task_id = $1", true.task_id)
        false = started(accepted_task(task_id=true.task_id, submitter="mallory"))
        false.complete(datetime.now(UTC), '{"paid": true}', {})
        await store.put(false)
        await store.check_whole([true.task_id])

    trail.act(replace)
    ended = trail.verify("--all")
    assert ended.code == 1
    assert "every history is whole" in ended.out
    assert ended.out.count(true.task_id) == 1
    assert f"{true.task_id} 5: altered" in ended.out


def test_a_task_that_was_removed(trail: Trail) -> None:
    task = trail.tasks[THIRD]
    trail.sql(*(f"DELETE FROM {table} WHERE task_id = $1" for table in ("tasks", "history")), task=task)
    ended = trail.verify()
    assert ended.code == 1
    assert f"{task.task_id} -: the task and all of its messages are missing\n" in ended.out


def test_what_was_dropped_or_erased(trail: Trail) -> None:
    old = finished(task_of(61), 61)

    async def put(store: Store) -> None:
        await put_into_weeks(store, old)

    async def drop(store: Store) -> None:
        await retention.prune(store.url, MONTH)
        assert await store.row(old.task_id) is None
        assert await Erasures(store.database).erase(trail.tasks[FIRST].task_id, "alice") is not None

    trail.act(put)
    trail.make()
    trail.act(drop)
    ended = trail.verify()
    assert ended.code == 0, ended.out
    assert "1 tasks dropped by retention" in ended.out


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda lines: [lines[0].replace(b" 5 ", b" 4 "), *lines[1:]], "line 4: the list of head 1 is not the one"),
        (lambda lines: lines[1:], "line 3: the list of head 1 is not the one"),
        (lambda lines: [b"x\n", *lines], "line 5: the list of head 1 is not the one"),
        (lambda lines: [*lines[:4], *lines[8:]], "line 8: head 3 does not follow"),
        (lambda lines: [*lines[4:8], *lines[:4], *lines[8:]], "line 8: head 1 does not follow"),
        (lambda lines: [*lines[:3], lines[3][:-9] + b"AAAAAAAA\n", *lines[4:]], "line 4: not a head of this service"),
        (lambda lines: [*lines[:3], b"head \n", *lines[4:]], "line 4: not a head of this service"),
    ],
)
def test_files_that_were_edited(trail: Trail, edit: Callable[[list[bytes]], list[bytes]], said: str) -> None:
    assert len(trail.lines()) == 12
    trail.file.write_bytes(b"".join(edit(trail.lines())))
    ended = trail.verify()
    assert ended.code == 1
    assert f"{trail.file.name} {said}" in ended.out


def test_lines_that_were_made_up_accuse_nobody(trail: Trail) -> None:
    trail.file.write_bytes(trail.lines()[0].replace(b" 5 ", b" 99 ") + trail.file.read_bytes())
    ended = trail.verify()
    assert ended.code == 1
    assert trail.tasks[FIRST].task_id not in ended.out


def test_a_file_that_was_cut_short_before_another(trail: Trail) -> None:
    lines = trail.lines()
    (trail.directory / "heads-0001-01-01.txt").write_bytes(b"".join(lines[:7]))
    trail.file.write_bytes(b"".join(lines[8:]))
    ended = trail.verify()
    assert ended.code == 1
    assert "heads-0001-01-01.txt line 7: 3 lines at the end of the file are not signed" in ended.out
    assert f"{trail.file.name} line 4: head 3 does not follow" in ended.out


def test_a_list_that_is_being_written_is_left_alone(trail: Trail) -> None:
    with trail.file.open("ab") as file:
        file.write(trail.lines()[0])
    ended = trail.verify()
    assert ended.code == 0
    assert "1 lines behind the last head are not signed yet" in ended.out


def test_old_files_may_go(trail: Trail) -> None:
    trail.file.write_bytes(b"".join(trail.lines()[4:]))
    ended = trail.verify()
    assert ended.code == 0
    assert ended.out.startswith("Heads 2 to 3,")


def test_a_node_that_starts_again_goes_on_with_the_chain(trail: Trail) -> None:
    trail.make()
    assert trail.verify().out.startswith("Heads 1 to 4,")


def test_keys_from_a_file(trail: Trail, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    (trail.data_dir / KEYS_FILE_NAME).rename(keys)
    (trail.data_dir / "signing-key.pem").unlink()
    assert trail.verify("--keys", str(keys)).code == 0
    ended = trail.verify()
    assert (ended.code, "no key" in ended.err) == (1, True)


def test_a_directory_without_heads(trail: Trail) -> None:
    trail.file.unlink()
    assert "There is no head in" in trail.verify().err
    trail.directory.rmdir()
    assert "cannot be read: No such file" in trail.verify().err


@pytest.mark.parametrize("words", [["--keys", "x"], ["--all", "--keys", "x"]])
def test_what_makes_no_sense(run: Run, words: list[str]) -> None:
    assert run("audit", "verify", *words).code == 2
    assert run("audit", "verify", "01890000-0000-7000-8000-000000000000", "--against", "x").code == 2
