"""Kinds of task: what a user's own module needs to define one, the registry, and the built-in kinds.

`from app.task_types import PermanentError, Resources, RetryLater, TaskContext, task_type` is all that a module of
one's own needs. A built-in kind is one file or folder here and one line in registry.BUILT_IN.
May import protocol.
"""

from app.protocol.resources import Resources
from app.task_types.context import TaskContext
from app.task_types.definition import PermanentError, RetryLater, TaskType, task_type

__all__ = ["PermanentError", "Resources", "RetryLater", "TaskContext", "TaskType", "task_type"]
