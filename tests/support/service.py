"""The real service as a process of its own: start, wait until ready, stop, kill -9, and its log for a failed test."""

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from app.protocol.roles import Role
from app.security.issuing import issue
from app.security.own_key import own_signing_key
from app.settings.security import SecuritySettings
from app.storage.database import driver_dsn
from app.storage.embedded import running_url
from tests.support import preloaded
from tests.support.machine import free_port
from tests.support.preloaded import Forked
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
# The embedded server's first start included.
READY_WITHIN_S = 60.0
# The service's own grace time (DRAIN_S) and some more.
STOPPED_WITHIN_S = 40.0
# What still runs at the end of a test is not waited for.
CLOSED_WITHIN_S = 2.0
TOKEN_LIFETIME_S = 12 * 3600
# Services of tests speak no TLS, and reading the authorities takes 25 ms for each client.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class ServiceDied(AssertionError):
    """The service ended before it was ready; the message holds its log."""


class Service:
    """One `task-executor serve`. `settings` are environment variables, TASK_EXECUTOR_ left out (`lease_s="3"`).

    Its process is forked from one that has loaded the program (preloaded.py), or `from_scratch` made by the command:
    where the start itself is looked at, or what Python makes of its environment; the words `before` stand before that.
    """

    def __init__(
        self,
        folder: Path,
        database_url: str | None,
        settings: Mapping[str, str] | None = None,
        *,
        from_scratch: bool = False,
        before: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = _environment(folder, database_url, {"port": str(self.port), **(settings or {})})
        self.log_file = folder / f"service-{self.port}.log"
        self._tokens: dict[tuple[str, ...], str] = {}
        self._from_scratch = from_scratch or bool(before)
        self._before = before
        self._process: subprocess.Popen[bytes] | Forked | None = None

    @property
    def process_id(self) -> int:
        """Of the running service."""
        assert self._process is not None, "the service is not running"
        return self._process.pid

    @property
    def own_database_url(self) -> str:
        """Of the embedded server that it runs: what it connects with itself, and what commands beside it do."""
        url = running_url(Path(self.environment["TASK_EXECUTOR_DATA_DIR"]))
        assert url is not None, "no embedded server is ready"
        return driver_dsn(url)

    @property
    def log(self) -> str:
        """Everything that it has written to stdout and stderr, over all of its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def launch(self) -> None:
        """Starts the process and returns at once."""
        assert self._process is None, "the service is running already"
        if not self._from_scratch:
            self._process = preloaded.start(["serve"], self.environment, self.log_file)
            return
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._before, sys.executable, "-m", "app", "serve"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start(self) -> "Service":
        """Starts it and waits until it is ready. Raises ServiceDied, NotInTime."""
        self.launch()
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        """Waits for 200 from /readyz."""
        with httpx.Client(verify=NO_AUTHORITIES) as client:
            wait_until(
                lambda: self._is_ready(client), f"{self.url} ready", READY_WITHIN_S, passing=(httpx.TransportError,)
            )

    def _is_ready(self, client: httpx.Client) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ServiceDied(f"the service ended with status {self._process.returncode}:\n{self.log}")
        return client.get(f"{self.url}/readyz").status_code == httpx.codes.OK

    def stop(self) -> int:
        """Stops it by SIGTERM, as operators do; returns its exit status. Kills it and fails where it does not end."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills it without warning."""
        self._end(signal.SIGKILL)

    def kill_where_it_lives(self) -> None:
        """The same for one that may have ended by itself."""
        if self._process is not None:
            self.kill()

    def wait(self, within_s: float = STOPPED_WITHIN_S) -> int:
        """Waits for its own end; returns its exit status."""
        assert self._process is not None
        process, self._process = self._process, None
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the service did not end within {within_s:g} s:\n{self.log}") from None

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "the service is not running"
        self._process.send_signal(number)
        return self.wait()

    def close(self) -> None:
        """Stops it where it runs, in a hurry where it does not end soon (Ctrl-C after SIGTERM). For a test's end."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(CLOSED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGINT)
        self.wait()

    def command(self, *arguments: str, standard_input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs `task-executor` with this service's settings and waits for it."""
        return subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            cwd=ROOT,
            env={**self.environment, "TASK_EXECUTOR_URL": self.url},
            input=standard_input,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def token(self, subject: str = "alice", *roles: str) -> str:
        """A token by the service's own key, as `task-executor token` makes it. Role submitter if none."""
        wanted = (subject, *(roles or ("submitter",)))
        if wanted not in self._tokens:
            self._tokens[wanted] = issue(
                own_signing_key(Path(self.environment["TASK_EXECUTOR_DATA_DIR"])),
                subject,
                [Role(role) for role in wanted[1:]],
                TOKEN_LIFETIME_S,
                time.time(),
                issuer=self._setting("jwt_issuer"),
                audience=self._setting("jwt_audience"),
            )
        return self._tokens[wanted]

    def _setting(self, name: str) -> Any:
        default = SecuritySettings.model_fields[name].default
        return self.environment.get(f"TASK_EXECUTOR_{name.upper()}", default)

    def client(self, subject: str = "alice", *roles: str, **options: Any) -> httpx.AsyncClient:
        """An HTTP client with a token; close it or use it as a context manager."""
        return httpx.AsyncClient(**self._client_options(subject, roles, options))

    def blocking_client(self, subject: str = "alice", *roles: str, **options: Any) -> httpx.Client:
        """The same for code without a loop."""
        return httpx.Client(**self._client_options(subject, roles, options))

    def _client_options(self, subject: str, roles: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token(subject, *roles)}", **options.pop("headers", {})}
        return {"base_url": self.url, "timeout": 30, "headers": headers, "verify": NO_AUTHORITIES, **options}


def _environment(folder: Path, database_url: str | None, settings: Mapping[str, str]) -> dict[str, str]:
    """A clean environment: what a developer has set for their own service must not reach a test's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    database = {} if database_url is None else {"DATABASE_URL": database_url}
    # Warm children cost a second of processor time a start, and most tests run nothing in one.
    ours = {"data_dir": str(folder / "data"), "host": "127.0.0.1", "warm_processes": "0", **settings}
    return {
        **kept,
        **database,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        **{f"TASK_EXECUTOR_{name.upper()}": value for name, value in ours.items()},
    }
