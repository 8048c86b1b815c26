"""One service for all tests of the wire that a worker runs; each test has callers of its own."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from app.protocol.roles import Role
from tests.api.caller import Caller, Callers, sleeping
from tests.support.service import Service

MAX_WAITS = 20
CAPACITY = '{"cpu": 4, "memory_mb": 4096, "gpu": 0, "custom": {"licence": 1}}'


@pytest.fixture(scope="session")
def wire(shared_service: Callable[..., Service]) -> Service:
    """A running service with one licence to hold, which holds back few answers for each caller."""
    return shared_service(capacity=CAPACITY, cancel_grace_s="0.2", drain_s="1", max_waits=str(MAX_WAITS))


@pytest.fixture
def callers(wire: Service) -> Iterator[Callers]:
    """Makes callers."""
    made = Callers(wire)
    yield made
    made.close()


@pytest.fixture
def alice(callers: Callers) -> Caller:
    """A submitter."""
    return callers.make(Role.SUBMITTER)


@pytest.fixture
def bob(callers: Callers) -> Caller:
    """Another submitter."""
    return callers.make(Role.SUBMITTER)


@pytest.fixture
def admin(callers: Callers) -> Caller:
    """An admin."""
    return callers.make(Role.ADMIN)


@pytest.fixture
def nobody(wire: Service) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(base_url=wire.url, timeout=30) as client:
        yield client


@pytest.fixture
def licence_holder(admin: Caller) -> Iterator[str]:
    """The id of a running task that holds the only licence, until the end of the test."""
    task_id = admin.submit(sleeping())
    admin.once(task_id, {"Executing"})
    yield task_id
    admin.cancel(task_id)
    admin.finished(task_id)
