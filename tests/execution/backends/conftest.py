"""The two backends, ready to run, and closed after each test."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.execution.backends.asyncio_ import AsyncioBackend
from app.execution.backends.backend import Backend
from app.execution.backends.process import ProcessBackend
from tests.execution.backends import handlers

MAX_RESULT_BYTES = 100_000
CANCEL_GRACE_S = 10.0
MODULES = ("tests.execution.backends.handlers", "tests.execution.backends.poison")


@pytest.fixture
async def process_backend() -> AsyncIterator[ProcessBackend]:
    """A process backend without warm children, whose start few tests need, and with a long grace time."""
    backend = ProcessBackend(MODULES, warm=0, cancel_grace_s=CANCEL_GRACE_S, max_result_bytes=MAX_RESULT_BYTES)
    await backend.start()
    yield backend
    await backend.close()


@pytest.fixture
async def asyncio_backend() -> AsyncIterator[AsyncioBackend]:
    """An asyncio backend with a long grace time."""
    backend = AsyncioBackend(cancel_grace_s=CANCEL_GRACE_S, max_result_bytes=MAX_RESULT_BYTES)
    await backend.start()
    yield backend
    await backend.close()


@pytest.fixture(params=["asyncio", "process"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    return found


@pytest.fixture
def handler(backend: Backend) -> Callable[[str], Callable[..., Any]]:
    """Finds the handler of that name that fits the backend."""
    suffix = "_async" if isinstance(backend, AsyncioBackend) else ""

    def find(name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(handlers, name + suffix)
        return found

    return find
