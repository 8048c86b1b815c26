"""A kind of task whose children cannot be made ready, in a module of its own: each of them complains in the log."""

import sys
from typing import Any

from app.task_types import TaskContext, task_type
from tests.execution.backends.handlers import AnyObject


@task_type("badly_prepared", parameters=AnyObject, prepare=lambda: sys.exit(3))
def badly_prepared(parameters: AnyObject, _context: TaskContext) -> dict[str, Any]:
    """Returns its parameters, if its child lives."""
    return parameters.root
