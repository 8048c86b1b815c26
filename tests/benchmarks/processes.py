"""The processes under load, and the processor time that each kind of them takes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks import bare_endpoint
from tests.support.machine import free_port
from tests.support.service import ROOT, Service
from tests.support.waiting import wait_until

READY_WITHIN_S = 30.0


class BareEndpoint:
    """uvicorn with the empty endpoint, in a process of its own and with the service's own uvicorn settings."""

    path = bare_endpoint.PATH

    def __init__(self) -> None:
        self.port = free_port()
        command = ["-m", "uvicorn", f"{bare_endpoint.__name__}:app", "--port", str(self.port)]
        options = ["--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-access-log", "--log-level", "error"]
        self._process = subprocess.Popen([sys.executable, *command, *options], cwd=ROOT, start_new_session=True)
        wait_until(self._listens, "the empty endpoint is ready", READY_WITHIN_S)

    @property
    def process_id(self) -> int:
        """Of the running server."""
        return self._process.pid

    def close(self) -> None:
        """Ends it."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def _listens(self) -> bool:
        assert self._process.poll() is None, "the empty endpoint ended at once"
        found = psutil.Process(self._process.pid).net_connections("tcp")
        return any(each.status == psutil.CONN_LISTEN for each in found)


@contextmanager
def running_bare_endpoint() -> Iterator[BareEndpoint]:
    """The empty endpoint, ready for requests."""
    bare = BareEndpoint()
    try:
        yield bare
    finally:
        bare.close()


@contextmanager
def running_service(folder: Path, database_url: str, **settings: str) -> Iterator[Service]:
    """The real service on a database that others can look into; no limit of its rate where it knows one."""
    service = Service(
        folder, database_url, {"rate_limit": "off", "log_format": "json", "warm_processes": "2", **settings}
    )
    try:
        yield service.start()
    finally:
        service.close()


class ProcessorTime:
    """Processor time by kind of process: the server, Postgres where it has one, the load client.

    What a task costs is steadier than how many there are a second: other work on the machine takes turns with ours,
    which the clock on the wall counts and this one does not.
    """

    def __init__(self, server_id: int, backend_id: int | None = None) -> None:
        self._processes = {"server": psutil.Process(server_id), "client": psutil.Process()}
        if backend_id is not None:
            self._processes["postgres"] = psutil.Process(backend_id).parent()
        self._last = self._now()

    def since(self, tasks: int = 1) -> dict[str, float]:
        """Taken since the last look, in microseconds a task."""
        last, self._last = self._last, self._now()
        return {kind: round(1e6 * (seconds - last[kind]) / tasks) for kind, seconds in self._last.items()}

    def _now(self) -> dict[str, float]:
        return {
            kind: _seconds(process) + (sum(map(_seconds, process.children())) if kind == "postgres" else 0.0)
            for kind, process in self._processes.items()
        }


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
