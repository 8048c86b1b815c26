"""Fixtures for all tests. One Postgres serves the whole run; each test gets a database of its own.

Under xdist the controller starts the server before its workers and tells them the URL; a plain run starts it when
the first test asks for a database.
"""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli.program import COLLECT_AFTER
from app.storage import availability
from tests.support import preloaded
from tests.support.postgres import Databases, SharedServer
from tests.support.service import Service

_SERVER = pytest.StashKey[SharedServer]()
_FAILED = pytest.StashKey[bool]()
_URL = "postgres_url"


def _server(config: pytest.Config) -> SharedServer:
    if _SERVER not in config.stash:
        config.stash[_SERVER] = SharedServer()
    return config.stash[_SERVER]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for what other processes do."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else 3


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In xdist's controller, before a worker starts."""
    node.workerinput[_URL] = _server(node.config).url


def pytest_unconfigure(config: pytest.Config) -> None:
    """At the end of each process of the run, and of the server in the one that started it."""
    preloaded.close()
    if _SERVER in config.stash:
        config.stash[_SERVER].close()
        del config.stash[_SERVER]


def pytest_collection_finish() -> None:
    """What was loaded and collected will never be garbage: the collector is spared it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Remembers a failure, so that fixtures can print what explains it."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Postgres that other tests keep busy is not taken for one that is away, but where a test lets it be away."""
    if not hasattr(request.module, "Proxy"):
        monkeypatch.setattr(availability, "PATIENCE_TURNS", 100)


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """The URL of the run's server (its own database: for the server's own matters, not for tables)."""
    worker: dict[str, Any] | None = getattr(pytestconfig, "workerinput", None)
    return str(worker[_URL]) if worker is not None else _server(pytestconfig).url


@pytest.fixture(scope="session")
def databases(postgres_url: str) -> Iterator[Databases]:
    """Makes databases on the run's server."""
    made = Databases(postgres_url)
    yield made
    made.close()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A fresh database with the current schema, dropped after the test."""
    url = databases.create(migrated=True)
    yield url
    databases.drop(url)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """A fresh database without any table, dropped after the test."""
    url = databases.create(migrated=False)
    yield url
    databases.drop(url)


@pytest.fixture
def service_database_url(database_url: str) -> str:
    """The same for the services of a test: as its owner, unless a folder's conftest says otherwise."""
    return database_url


@pytest.fixture
def start_service(
    request: pytest.FixtureRequest, tmp_path: Path, service_database_url: str
) -> Iterator[Callable[..., Service]]:
    """Starts the service as a process, as often as called: `start_service(lease_s="3")`.

    All of a test's services share its database and its data directory, so they are replicas of each other. They
    are stopped after the test; their logs are printed where it failed. `from_scratch`: see Service.
    """
    started: list[Service] = []

    def start(*, from_scratch: bool = False, **settings: str) -> Service:
        service = Service(tmp_path, service_database_url, settings, from_scratch=from_scratch)
        started.append(service)
        return service.start()

    yield start
    try:
        for service in started:
            service.close()
    finally:
        if request.node.stash.get(_FAILED, False):
            for service in started:
                print(f"--- log of {service.url}\n{service.log}")  # noqa: T201 - pytest shows it with the failure


@pytest.fixture(scope="session")
def shared_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, databases: Databases
) -> Iterator[Callable[..., Service]]:
    """The services that a worker starts once: `shared_service(lease_s="3")` is one and the same for these settings.

    For tests with callers of their own that leave the service as they found it: a start costs more than most tests.
    """
    started: dict[tuple[tuple[str, str], ...], tuple[Service, str]] = {}

    def find(**settings: str) -> Service:
        key = tuple(sorted(settings.items()))
        if key not in started:
            url = databases.create(migrated=True)
            started[key] = Service(tmp_path_factory.mktemp("shared"), url, settings), url
            started[key][0].start()
        return started[key][0]

    yield find
    for service, url in started.values():
        service.close()
        databases.drop(url)
        # pytest shows it with the last failure.
        if request.session.testsfailed:
            lines = service.log.splitlines()
            unusual = [line for line in lines[:-20] if '"level":"info"' not in line]
            print(f"--- what is unusual in the log of {service.url}, and its end", *unusual, *lines[-20:], sep="\n")  # noqa: T201 - see above


@pytest.fixture
def service(start_service: Callable[..., Service]) -> Service:
    """A running service with its ordinary settings."""
    return start_service()
