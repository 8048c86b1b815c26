"""Task types for the tests of the backends: those of the behaviour suite, once async and once plain.

Children import this module as well. Names ending in _async run in asyncio, the others in a child.
"""

import asyncio
import math
import os
import sys
import threading
from pathlib import Path
from typing import Any

from pydantic import BaseModel, RootModel

from app.task_types import PermanentError, RetryLater, TaskContext, task_type


class AnyObject(RootModel[dict[str, Any]]):
    """Any JSON object."""


class Strict(BaseModel):
    """Parameters that can be wrong."""

    number: int


prepared: list[str] = []


def _prepare() -> None:
    prepared.append("engine")


@task_type("prepared", parameters=AnyObject, prepare=_prepare)
def prepared_by(_parameters: AnyObject, _context: TaskContext) -> list[str]:
    """Returns what was made ready in its child."""
    return prepared


@task_type("echo_async", parameters=AnyObject)
async def echo_async(parameters: AnyObject, _context: TaskContext) -> dict[str, Any]:
    """Returns its parameters."""
    return parameters.root


@task_type("echo", parameters=AnyObject)
def echo(parameters: AnyObject, _context: TaskContext) -> dict[str, Any]:
    """Returns its parameters."""
    return parameters.root


def _about(context: TaskContext) -> dict[str, Any]:
    return {
        "task_id": context.task_id,
        "message_id": context.message_id,
        "attempt": context.attempt,
        "deadline": context.deadline.isoformat() if context.deadline else None,
        "cpu": context.allocation.cpu,
        "cancelled": context.cancelled,
        "nan": math.nan,
    }


@task_type("about_async", parameters=AnyObject)
async def about_async(_parameters: AnyObject, context: TaskContext) -> dict[str, Any]:
    """Returns what it was told."""
    return _about(context)


@task_type("about", parameters=AnyObject)
def about(_parameters: AnyObject, context: TaskContext) -> dict[str, Any]:
    """Returns what it was told."""
    return _about(context)


def _steps(context: TaskContext) -> None:
    for step in range(5):
        context.progress(step / 4, step=step, ratio=math.inf)


@task_type("steps_async", parameters=AnyObject)
async def steps_async(_parameters: AnyObject, context: TaskContext) -> None:
    """Reports five steps."""
    _steps(context)


@task_type("steps", parameters=AnyObject)
def steps(_parameters: AnyObject, context: TaskContext) -> None:
    """Reports five steps."""
    _steps(context)


class Unreadable(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("not even this")


def _raise(name: str) -> None:
    errors: dict[str, BaseException] = {
        "ValueError": ValueError("the \x00 value \ud800 is bad"),
        "PermanentError": PermanentError("never"),
        "RetryLater": RetryLater("busy", 7.5),
        "SystemExit": SystemExit(3),
        "KeyboardInterrupt": KeyboardInterrupt(),
        "MemoryError": MemoryError(),
        "CancelledError": asyncio.CancelledError(),
        "GeneratorExit": GeneratorExit(),
        "Unreadable": Unreadable(),
        "Huge": ValueError("x" * 1_000_000),
    }
    raise errors[name]


@task_type("fail_async", parameters=AnyObject)
async def fail_async(parameters: AnyObject, _context: TaskContext) -> None:
    """Raises what it is asked to."""
    _raise(parameters.root["error"])


@task_type("fail", parameters=AnyObject)
def fail(parameters: AnyObject, _context: TaskContext) -> None:
    """Raises what it is asked to."""
    _raise(parameters.root["error"])


def _recurse(depth: int) -> int:
    return _recurse(depth + 1) + 1


@task_type("recurse_async", parameters=AnyObject)
async def recurse_async(_parameters: AnyObject, _context: TaskContext) -> int:
    """Never returns from itself."""
    return _recurse(0)


@task_type("recurse", parameters=AnyObject)
def recurse(_parameters: AnyObject, _context: TaskContext) -> int:
    """Never returns from itself."""
    return _recurse(0)


def _result(what: str) -> Any:
    nested: list[Any] = []
    for _ in range(10_000):
        nested = [nested]
    circle: list[Any] = []
    circle.append(circle)
    results: dict[str, Any] = {
        "object": object(),
        "surrogate": "\ud800",
        "nested": nested,
        "circle": circle,
        "large": "x" * 200_000,
    }
    return results[what]


@task_type("result_async", parameters=AnyObject)
async def result_async(parameters: AnyObject, _context: TaskContext) -> Any:
    """Returns what no result can be."""
    return _result(parameters.root["what"])


@task_type("result", parameters=AnyObject)
def result(parameters: AnyObject, _context: TaskContext) -> Any:
    """Returns what no result can be."""
    return _result(parameters.root["what"])


def _details(what: str) -> dict[str, Any]:
    return {"value": object()} if what == "object" else {"value": "x" * 20_000}


@task_type("details_async", parameters=AnyObject)
async def details_async(parameters: AnyObject, context: TaskContext) -> None:
    """Reports details that no progress can have."""
    context.progress(0.5, **_details(parameters.root["what"]))


@task_type("details", parameters=AnyObject)
def details(parameters: AnyObject, context: TaskContext) -> None:
    """Reports details that no progress can have."""
    context.progress(0.5, **_details(parameters.root["what"]))


@task_type("wait_async", parameters=AnyObject)
async def wait_async(_parameters: AnyObject, context: TaskContext) -> None:
    """Says that it runs, then waits without end."""
    context.progress(0.1, pid=os.getpid())
    await asyncio.Event().wait()


@task_type("wait", parameters=AnyObject)
def wait(_parameters: AnyObject, context: TaskContext) -> None:
    """Says that it runs, then waits without end."""
    context.progress(0.1, pid=os.getpid())
    threading.Event().wait()


@task_type("heed_async", parameters=AnyObject)
async def heed_async(parameters: AnyObject, context: TaskContext) -> str:
    """Ends soon after it is cancelled, and leaves a file that says so."""
    context.progress(0.1)
    try:
        await asyncio.Event().wait()
    finally:
        if context.cancelled:
            await asyncio.to_thread(Path(parameters.root["path"]).write_text, "cancelled")
    return "unreachable"


@task_type("heed", parameters=AnyObject)
def heed(parameters: AnyObject, context: TaskContext) -> str:
    """Ends soon after it is cancelled, and leaves a file that says so."""
    context.progress(0.1)
    if context.cancellation.wait(30) and context.cancelled:
        Path(parameters.root["path"]).write_text("cancelled")
    return "ended by itself"


@task_type("strict_async", parameters=Strict)
async def strict_async(parameters: Strict, _context: TaskContext) -> int:
    """Returns its number."""
    return parameters.number


@task_type("strict", parameters=Strict)
def strict(parameters: Strict, _context: TaskContext) -> int:
    """Returns its number."""
    return parameters.number


@task_type("swallow_async", parameters=AnyObject)
async def swallow_async(_parameters: AnyObject, context: TaskContext) -> None:
    """Does not heed its cancellation until it is told a second time, by the test."""
    loop = asyncio.get_running_loop()
    free: asyncio.Future[None] = loop.create_future()
    HELD.append(free)
    context.progress(0.1)
    while not free.done():
        try:
            await asyncio.shield(free)
        except asyncio.CancelledError:
            continue
    context.progress(0.9, late=True)


HELD: list[asyncio.Future[None]] = []
"""What the abandoned handlers of swallow_async wait for."""


@task_type("threaded_async", parameters=AnyObject)
async def threaded_async(_parameters: AnyObject, context: TaskContext) -> None:
    """Reports progress from another thread."""
    await asyncio.to_thread(_steps, context)


@task_type("self_cancel_async", parameters=AnyObject)
async def self_cancel_async(_parameters: AnyObject, _context: TaskContext) -> None:
    """Cancels its own task."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()


@task_type("printing", parameters=AnyObject)
def printing(parameters: AnyObject, context: TaskContext) -> None:
    """Prints, logs and writes to standard error."""
    sys.stdout.write(f"printed {parameters.root.get('word', chr(0xDCFF))}\n")
    sys.stderr.write("no line feed")
    context.logger.warning("logged")
