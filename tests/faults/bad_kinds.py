"""Kinds of task that fail in the ordinary ways: they raise, run out of memory, or return what no result can be."""

from typing import Any

from app.task_types import PermanentError, TaskContext, task_type
from tests.execution.backends.handlers import AnyObject


@task_type("raises", parameters=AnyObject)
def raises(_parameters: AnyObject, _context: TaskContext) -> None:
    """Raises."""
    raise ValueError("this value is bad")


@task_type("raises_permanently", parameters=AnyObject)
def raises_permanently(_parameters: AnyObject, _context: TaskContext) -> None:
    """Says that no other attempt will help."""
    raise PermanentError("never")


@task_type("unserialisable", parameters=AnyObject)
def unserialisable(_parameters: AnyObject, _context: TaskContext) -> Any:
    """Returns what is no JSON."""
    return {"value": object()}


@task_type("huge", parameters=AnyObject)
def huge(_parameters: AnyObject, _context: TaskContext) -> str:
    """Returns far more than is kept."""
    return "x" * 50_000_000


@task_type("neighbour", parameters=AnyObject)
def neighbour(parameters: AnyObject, _context: TaskContext) -> dict[str, Any]:
    """Does what it should."""
    return parameters.root
