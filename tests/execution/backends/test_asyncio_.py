"""What only the asyncio backend has to do."""

import asyncio

import pytest

from app.execution.backends.asyncio_ import AsyncioBackend
from app.execution.backends.backend import Failed, Stopped, Succeeded
from app.protocol.reasons import Reason
from tests.execution.backends import handlers
from tests.execution.backends.attempts import record


async def test_a_handler_that_does_not_heed_its_cancellation_is_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    backend = AsyncioBackend(cancel_grace_s=0, max_result_bytes=1000)
    recorded = record(handlers.swallow_async)
    running = asyncio.create_task(backend.run(recorded.attempt))
    await recorded.began.wait()
    recorded.attempt.stop.set(Reason.CANCELLED)
    assert await running == Stopped(Reason.CANCELLED, {})
    assert "abandoned" in caplog.text
    await let_go()
    # What it reports later is nobody's any more.
    assert recorded.progress == [(0.1, {})]
    await backend.close()


async def test_the_same_when_the_backend_itself_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    backend = AsyncioBackend(cancel_grace_s=0, max_result_bytes=1000)
    recorded = record(handlers.swallow_async)
    running = asyncio.create_task(backend.run(recorded.attempt))
    await recorded.began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "abandoned" in caplog.text
    await let_go()


async def let_go() -> None:
    """Ends the abandoned handlers, and waits until they have ended."""
    ours = {task for task in asyncio.all_tasks() if "_Running" in repr(task)}
    while handlers.HELD:
        handlers.HELD.pop().set_result(None)
    await asyncio.gather(*ours)


async def test_progress_from_another_thread_arrives_in_the_loop(asyncio_backend: AsyncioBackend) -> None:
    recorded = record(handlers.threaded_async)
    assert isinstance(await asyncio_backend.run(recorded.attempt), Succeeded)
    assert [fraction for fraction, _ in recorded.progress] == [0, 0.25, 0.5, 0.75, 1]


async def test_a_handler_that_cancels_itself_has_failed(asyncio_backend: AsyncioBackend) -> None:
    outcome = await asyncio_backend.run(record(handlers.self_cancel_async).attempt)
    assert isinstance(outcome, Failed)
    assert outcome.error["kind"] == "CancelledError"
