"""A sink of the loopback, and services that may call it."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from app.protocol.roles import Role
from tests.api.caller import Caller, Callers
from tests.support.service import Service
from tests.support.sink import Sink, SinkThread

LOOPBACK = {"outbound_allowed_networks": "127.0.0.0/8", "outbound_plain_http": "true"}
_numbers = itertools.cycle(range(2, 255))
QUICK = {**LOOPBACK, "webhook_backoff_initial_s": "0.1", "webhook_backoff_max_s": "0.3"}


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A server that remembers what it was sent.

    At an address of its own: what is still sent to the sink of an earlier test does not come to this one.
    """
    thread = SinkThread(f"127.0.0.{next(_numbers)}")
    yield thread.sink
    thread.close()


@pytest.fixture
def elsewhere() -> Iterator[Sink]:
    """Another one."""
    thread = SinkThread(f"127.0.0.{next(_numbers)}")
    yield thread.sink
    thread.close()


@pytest.fixture
def start_quick(start_service: Callable[..., Service]) -> Callable[..., Service]:
    """Starts services that may call the loopback and try again soon."""
    return lambda **settings: start_service(**{**QUICK, **settings})


@pytest.fixture
def callers(shared_service: Callable[..., Service]) -> Iterator[Callers]:
    """Callers of such a service, which others call too."""
    made = Callers(shared_service(**QUICK, drain_s="1"))
    yield made
    made.close()


@pytest.fixture
def alice(callers: Callers) -> Caller:
    """A submitter at such a service."""
    return callers.make(Role.SUBMITTER)
