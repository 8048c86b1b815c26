"""One DuckDB for one run: in memory, bounded, spilling into the workspace, and locked down.

Locked down means: no file but the source's own (reached by links in the workspace), no network, no extension,
no setting changed afterwards. Memory and threads come from what was allocated to the task.
"""

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from app.protocol.resources import Resources
from app.task_types.context import TaskContext
from app.task_types.data_processing.fragment import Fragment, combine
from app.task_types.definition import PermanentError

LOOK_EVERY_S = 0.1
"""How often a running query is asked for its progress, and the context for a cancellation."""

MEMORY_SHARE = 0.5
"""DuckDB's part of the task's memory. It goes beyond its own limit for what it does not count (measured: 344 MB
resident at a limit of 256 MB), and Python with DuckDB loaded takes 64 MB before the first row."""

MEMORY_LEAST_MB = 32

SPILL = "duckdb-spill"
"""The directory inside the workspace for what does not fit into memory."""


class Cancelled(PermanentError):
    """The run stopped because its submitter asked for that."""


class TemporarySpaceError(Exception):
    """What does not fit into memory could not be written to disk either; another attempt may find room."""


class Session:
    """Runs queries in a thread of its own, so that the caller's thread can report progress and interrupt."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, worker: ThreadPoolExecutor, context: TaskContext) -> None:
        self._connection = connection
        self._worker = worker
        self._context = context
        self._tables = 0
        self._step = "read"
        self._begin = 0.0
        self._span = 0.0
        self._told = 0.0

    def enter(self, step: str, begin: float, end: float) -> None:
        """From here on queries belong to this step, which takes the progress from `begin` to `end` (0..1)."""
        self._step, self._begin, self._span = step, begin, end - begin
        self._stop_if_cancelled()

    def rows(self, query: Fragment) -> list[tuple[Any, ...]]:
        """All rows of a query's answer.

        Raises Cancelled, PermanentError where the memory does not suffice, TemporarySpaceError where the disk does
        not, and duckdb.Error for the rest.
        """
        future = self._worker.submit(self._answer, query)
        try:
            return self._wait(future)
        except duckdb.InterruptException:
            raise Cancelled(f"the task was cancelled during the step {self._step}") from None
        except duckdb.OutOfMemoryException as error:
            memory = self._context.allocation.memory_mb
            raise PermanentError(
                f"the step {self._step} needs more than the {memory} MiB allocated: ask for more memory_mb"
            ) from error
        except duckdb.IOException as error:
            if SPILL not in str(error):
                raise
            raise TemporarySpaceError(f"the step {self._step} could not write to the temporary directory") from error

    def value(self, query: Fragment) -> Any:
        """The one value of an answer of one row and one column."""
        return self.rows(query)[0][0]

    def create(self, query: Fragment) -> Fragment:
        """Keeps a query's answer as a new table and returns the table's name."""
        self._tables += 1
        name = Fragment(f"s{self._tables}")
        self.rows(combine("CREATE TABLE {} AS {}", name, query))
        return name

    def drop(self, table: Fragment) -> None:
        """Forgets a table, so that its memory and its spilled pages are free."""
        self.rows(combine("DROP TABLE {}", table))

    def count(self, table: Fragment) -> int:
        """How many rows a table has."""
        return int(self.value(combine("SELECT count(*) FROM {}", table)))

    def types(self, query: Fragment) -> list[str]:
        """The DuckDB types of a query's columns; the query is not run. Raises duckdb.Error where it cannot be."""
        return [row[1] for row in self.rows(combine("DESCRIBE {}", query))]

    def _answer(self, query: Fragment) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.text, query.values or None).fetchall()

    def _wait(self, future: Future[list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        while True:
            try:
                return future.result(timeout=LOOK_EVERY_S)
            except StillRunning:
                if future.done():
                    # The query itself ended with a TimeoutError in this very moment.
                    return future.result()
                self._look()

    def _look(self) -> None:
        if self._context.cancelled:
            # Again at each look: an interrupt that comes between two statements is lost.
            self._connection.interrupt()
            return
        fraction = min(1.0, self._begin + self._span * self._connection.query_progress() / 100)
        # A step may take several queries, each of which begins anew: what was told is never taken back.
        if fraction > max(self._begin, self._told):
            self._told = fraction
            self._context.progress(fraction, step=self._step)

    def _stop_if_cancelled(self) -> None:
        if self._context.cancelled:
            raise Cancelled(f"the task was cancelled before the step {self._step}")


@contextmanager
def open_session(context: TaskContext, directory: Path, files: list[Path]) -> Iterator[Session]:
    """A session that can read these files, which lie or are linked in `directory`, and nothing else.

    After it no thread of it runs and its memory is given back.
    """
    connection = _connect(context.allocation, directory, files)
    worker = ThreadPoolExecutor(1, thread_name_prefix="data-processing")
    try:
        yield Session(connection, worker, context)
    finally:
        worker.shutdown()
        connection.close()


def memory_limit_mb(allocation: Resources) -> int:
    """What DuckDB may use of the memory allocated, in MiB."""
    return max(MEMORY_LEAST_MB, int(allocation.memory_mb * MEMORY_SHARE))


def _connect(allocation: Resources, directory: Path, files: list[Path]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_limit_mb(allocation)}MiB",
            "threads": max(1, math.ceil(allocation.cpu)),
            # Threads for remote files, which there are none of. Each reserves 64 MB of address space, and a
            # child's address space is limited: with the default of eight, 512 MiB did not suffice to begin.
            "async_threads": 0,
            "temp_directory": str(directory / SPILL),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
            "allow_persistent_secrets": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = true")
    connection.execute("SET enable_progress_bar_print = false")
    connection.execute(f"SET allowed_paths = [{', '.join(_quoted(str(file)) for file in files)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"
