"""What a kind of task is, and the decorator that makes one from a function."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from app.protocol.messages import DEFAULT_MAX_ATTEMPTS
from app.protocol.resources import Resources

RunsIn = Literal["asyncio", "process", "external"]

DEFAULT_TIMEOUT_S = 3600.0
MAX_RETRY_AFTER_S = 86_400.0
DEFAULT_RESOURCES = Resources(cpu=1, memory_mb=512)


class PermanentError(Exception):
    """Raised by a handler to fail its task without another attempt."""


class RetryLater(Exception):
    """Raised by a handler whose next attempt is to begin in `after_s` seconds at the earliest, a day at most.

    It counts as any other failed attempt: where it was the last one, or the deadline is before that, the task fails.
    """

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = min(max(0.0, after_s), MAX_RETRY_AFTER_S)


@dataclass(frozen=True, slots=True)
class TaskType:
    """A kind of task: how it is named, what it takes, and the function that does it.

    `module` and `qualified_name` are how a child process finds the function again.
    """

    name: str
    handler: Callable[..., Any]
    parameters: type[BaseModel]
    resources: Resources
    runs_in: RunsIn
    timeout_s: float
    max_attempts: int
    description: str
    examples: tuple[dict[str, Any], ...] = field(default=())
    prepare: Callable[[], None] | None = None

    @property
    def module(self) -> str:
        """The importable name of the module that the handler stands in."""
        return self.handler.__module__

    @property
    def qualified_name(self) -> str:
        """The handler's name inside its module."""
        return self.handler.__qualname__


def task_type(  # noqa: PLR0913 - each is a property of the kind
    name: str,
    *,
    parameters: type[BaseModel],
    resources: Resources = DEFAULT_RESOURCES,
    runs_in: RunsIn | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    examples: tuple[dict[str, Any], ...] = (),
    prepare: Callable[[], None] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes a function a kind of task, `handler(parameters, context) -> JSON-able result`.

    An async function runs in the service's own loop ("asyncio"), a plain one in a supervised child
    ("process"), unless `runs_in` says otherwise. `timeout_s` bounds one attempt, in seconds; the
    function's docstring is the description that submitters read. `examples` are parameters to show.
    `prepare` is called once in each child, before its first attempt: what the function needs and the service does not,
    a large library or a model, is loaded there.

    Raises TypeError where the function, `runs_in` and `prepare` do not go together.
    """

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        is_async = inspect.iscoroutinefunction(handler)
        where = runs_in or ("asyncio" if is_async else "process")
        if (where == "asyncio") != is_async and where != "external":
            raise TypeError(
                f"task type {name!r}: runs_in={where!r} does not fit {handler.__qualname__}, "
                f"which is {'an async' if is_async else 'a plain'} function"
            )
        if prepare is not None and where != "process":
            raise TypeError(f"task type {name!r}: prepare is for children, and runs_in={where!r} has none")
        handler.__task_type__ = TaskType(  # type: ignore[attr-defined]
            name=name,
            handler=handler,
            parameters=parameters,
            resources=resources,
            runs_in=where,
            timeout_s=timeout_s,
            max_attempts=max_attempts,
            description=inspect.getdoc(handler) or "",
            examples=examples,
            prepare=prepare,
        )
        return handler

    return decorate
