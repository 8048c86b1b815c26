"""A sink of the loopback, and services that may call it."""

from collections.abc import Callable, Iterator

import pytest

from app.protocol.roles import Role
from tests.api.caller import Caller, Callers
from tests.support.service import Service
from tests.support.sink import Sink, SinkThread

LOOPBACK = {"outbound_allowed_networks": "127.0.0.0/8", "outbound_plain_http": "true"}
QUICK = {**LOOPBACK, "webhook_backoff_initial_s": "0.1", "webhook_backoff_max_s": "0.3"}


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A server that remembers what it was sent."""
    thread = SinkThread()
    yield thread.sink
    thread.close()


@pytest.fixture
def start_quick(start_service: Callable[..., Service]) -> Callable[..., Service]:
    """Starts services that may call the loopback and try again soon."""
    return lambda **settings: start_service(**{**QUICK, **settings})


@pytest.fixture
def alice(start_quick: Callable[..., Service]) -> Iterator[Caller]:
    """A submitter at such a service."""
    callers = Callers(start_quick())
    yield callers.make(Role.SUBMITTER)
    callers.close()
