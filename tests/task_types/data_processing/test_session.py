"""The session: what it must not reach, that it stays within its memory, and that it stops when asked."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from app.protocol.resources import Resources
from app.task_types import PermanentError
from app.task_types.data_processing.fragment import Fragment, bound, combine
from app.task_types.data_processing.session import (
    SPILL,
    Cancelled,
    Session,
    TemporarySpaceError,
    memory_limit_mb,
    open_session,
)
from app.task_types.data_processing.workspace import workspace
from tests.task_types.contexts import Report, context
from tests.task_types.data_processing.conftest import Process


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('{folder}/secret.txt')",
        "SELECT * FROM read_csv('{folder}/secret.txt')",
        "SELECT * FROM '{folder}/secret.txt'",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('http://127.0.0.1:9/x.parquet')",
        "SELECT * FROM read_csv('s3://bucket/x.csv')",
        "ATTACH '{folder}/other.duckdb'",
        "ATTACH 'host=127.0.0.1' AS pg (TYPE postgres)",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "EXPORT DATABASE '{folder}/out'",
        "INSTALL httpfs",
        "INSTALL sqlite_scanner FROM community",
        "LOAD httpfs",
        "LOAD '{folder}/evil.duckdb_extension'",
        "SELECT getenv('PATH')",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET lock_configuration = false",
        "RESET lock_configuration",
        "SET memory_limit = '100GB'",
        "SET threads = 64",
        "SET temp_directory = '{folder}'",
        "PRAGMA enable_profiling = 'json'",
        "SET autoinstall_known_extensions = true",
        "CREATE PERSISTENT SECRET x (TYPE s3)",
    ],
)
def test_it_reaches_nothing_but_the_sources_own_files(tmp_path: Path, statement: str) -> None:
    (tmp_path / "secret.txt").write_text("secret\n1\n")
    (tmp_path / "mine.csv").write_text("a\n1\n")
    before = set(tmp_path.iterdir())
    with workspace() as directory:
        link = directory / "0.data"
        link.symlink_to(tmp_path / "mine.csv")
        with open_session(context(), directory, [link]) as session:
            assert session.value(combine("SELECT a FROM read_csv({})", bound([str(link)]))) == 1
            with pytest.raises(duckdb.Error):
                session.rows(Fragment(statement.format(folder=tmp_path)))
    assert set(tmp_path.iterdir()) == before


def test_names_of_python_variables_are_no_tables(session: Session) -> None:
    variable = [1, 2, 3]
    with pytest.raises(duckdb.CatalogException):
        session.rows(Fragment("SELECT * FROM variable"))
    assert variable


def test_memory_and_threads_are_those_allocated(tmp_path: Path) -> None:
    with workspace() as directory, open_session(context(cpu=1.5, memory_mb=300), directory, []) as session:
        assert session.value(Fragment("SELECT current_setting('threads')")) == 2
        assert session.value(Fragment("SELECT current_setting('memory_limit')")).startswith("150.0 MiB")


@pytest.mark.parametrize(("allocated", "limit"), [(512, 256), (0, 32), (50, 32), (4096, 2048)])
def test_duckdb_gets_its_share_of_the_memory(allocated: int, limit: int) -> None:
    assert memory_limit_mb(Resources(memory_mb=allocated)) == limit


GROUPS = 500_000
LARGE = combine(
    "SELECT i AS r, md5(i::VARCHAR) AS c0, (i * 7919) % {} AS c1 FROM range({}) t(i)", bound(GROUPS), bound(GROUPS * 2)
)


def test_sorting_and_grouping_more_than_the_memory_spills_to_the_workspace() -> None:
    with workspace() as directory, open_session(context(memory_mb=80), directory, []) as session:
        table = session.create(LARGE)
        ordered = session.create(combine("SELECT * FROM {} ORDER BY c0", table))
        groups = combine(
            "SELECT count(*), sum(n), min(n), max(n) FROM (SELECT c1, count(*) AS n FROM {} GROUP BY c1)", ordered
        )
        assert session.rows(groups) == [(GROUPS, GROUPS * 2, 2, 2)]
        spilled = sum(file.stat().st_size for file in (directory / SPILL).iterdir())
        used = session.value(Fragment("SELECT sum(memory_usage_bytes) FROM duckdb_memory()"))
        assert spilled > memory_limit_mb(Resources(memory_mb=80)) * 2**20
        assert used <= memory_limit_mb(Resources(memory_mb=80)) * 2**20
    assert not directory.exists()


def test_what_cannot_spill_fails_with_the_memory_that_it_had(session: Session) -> None:
    with workspace() as directory, open_session(context(memory_mb=64), directory, []) as small:
        small.enter("aggregate", 0.5, 1.0)
        with pytest.raises(
            PermanentError, match="the step aggregate needs more than the 64 MiB allocated: ask for more"
        ):
            small.rows(Fragment("SELECT list(md5(i::VARCHAR)) FROM range(3000000) t(i)"))
    assert session.value(Fragment("SELECT 1")) == 1


def test_a_temporary_directory_that_cannot_be_written_is_no_fault_of_the_task() -> None:
    with workspace() as directory:
        (directory / SPILL).write_text("a file where a directory should be")
        with open_session(context(memory_mb=80), directory, []) as session:
            with pytest.raises(TemporarySpaceError, match="could not write to the temporary directory") as failed:
                session.create(LARGE)
            assert str(directory) not in str(failed.value)


ENDLESS = Fragment("SELECT count(*) FROM range(1000000000000) t(i) WHERE hash(i) % 7 = 1")


def test_a_running_query_stops_when_the_task_is_cancelled() -> None:
    attempt = context()
    timer = threading.Timer(0.2, attempt.cancellation.set)
    with workspace() as directory, open_session(attempt, directory, []) as session:
        session.enter("transform", 0.0, 1.0)
        timer.start()
        with pytest.raises(Cancelled, match="cancelled during the step transform"):
            session.rows(ENDLESS)
    timer.join()


def test_a_long_query_reports_how_far_it_is() -> None:
    reports: list[Report] = []
    attempt = context(reports)

    def until_seen(fraction: float, details: dict[str, Any]) -> None:
        reports.append((fraction, details))
        attempt.cancellation.set()

    attempt.report = until_seen
    with workspace() as directory, open_session(attempt, directory, []) as session:
        session.enter("aggregate", 0.5, 0.75)
        with pytest.raises(Cancelled):
            session.rows(Fragment("SELECT count(*) FROM range(20000000000) t(i) WHERE hash(i) % 7 = 1"))
    assert 0.5 < reports[0][0] <= 0.75
    assert reports[0][1] == {"step": "aggregate"}


def test_a_task_cancelled_before_a_step_does_not_begin_it(process: Process) -> None:
    attempt = context()
    attempt.cancellation.set()
    with pytest.raises(Cancelled, match="before the step read"):
        process("data_stream_1", "validate", context=attempt)


def test_no_thread_is_left_after_a_task(process: Process) -> None:
    before = threading.active_count()
    process("data_stream_1", "validate", "aggregate")
    assert threading.active_count() == before


@pytest.mark.parametrize("end", [lambda: None, lambda: 1 / 0])
def test_the_worker_ends_with_the_session(end: Callable[[], Any]) -> None:
    before = {thread.name for thread in threading.enumerate()}
    try:
        with workspace() as directory, open_session(context(), directory, []) as session:
            session.rows(Fragment("SELECT 1"))
            end()
    except ZeroDivisionError:
        pass
    assert {thread.name for thread in threading.enumerate()} == before
