"""Why a task waits, asked of the service: it says more than the status of the task does, and by its own clock."""

from contextlib import suppress
from dataclasses import replace

from app.cli.failures import Refused, Unreachable
from app.cli.service import Service, task_path
from app.cli.task_view import TaskView
from app.protocol.states import QUEUED


def explained(service: Service, task: TaskView) -> TaskView:
    """The task, while it waits with the service's explanation. Without one where there is no answer."""
    if task.state in QUEUED:
        with suppress(Refused, Unreachable, ValueError, KeyError, TypeError):
            answer = service.get(task_path(task.task_id, "explanation")).json()
            if answer["status"] == task.state:
                return replace(task, explanation=str(answer["explanation"]))
    return task
