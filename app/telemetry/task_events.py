"""What the journal has written, as log lines and metrics: nothing is told that did not happen."""

import json
from collections.abc import Sequence

from app.protocol.history import Item, MessageName
from app.protocol.states import State
from app.protocol.task import Task
from app.telemetry.logging import EventType, task_event
from app.telemetry.metrics import Metrics

_EVENTS = {
    MessageName.SUBMIT_TASK: EventType.SUBMISSION,
    MessageName.EXECUTION_STARTED: EventType.STATE_CHANGE,
    MessageName.RESOURCES_UNAVAILABLE: EventType.STATE_CHANGE,
    MessageName.TASK_COMPLETED: EventType.COMPLETION,
    MessageName.TASK_FAILED: EventType.COMPLETION,
    MessageName.TASK_REJECTED: EventType.COMPLETION,
}


class TaskObserver:
    """Hears of every committed change."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def committed(self, task: Task, items: Sequence[Item]) -> None:
        """One task's new messages."""
        for item in items:
            event = _EVENTS.get(item.name)
            if event is None and not (item.name is MessageName.PROGRESS_UPDATE and item.status is State.WAITING):
                continue
            task_event(
                event or EventType.STATE_CHANGE,
                task_id=task.task_id,
                message_id=task.message_id,
                type=task.type,
                submitter=task.submitter,
                state=item.status.value,
                attempt=task.attempt,
                reason=task.reason.value if event is EventType.COMPLETION and task.reason is not None else None,
            )
            self._count(task, item)

    def _count(self, task: Task, item: Item) -> None:
        match item.name:
            case MessageName.SUBMIT_TASK:
                if task.state is State.REJECTED:
                    # Its type is whatever the client wrote, and no label may be that.
                    self._metrics.submission("rejected")
                else:
                    self._metrics.submission("accepted", task.type)
            case MessageName.EXECUTION_STARTED:
                if task.attempt == 1:
                    self._metrics.started((item.recorded_at - task.submitted_at).total_seconds())
            case MessageName.PROGRESS_UPDATE:
                waiting = json.loads(task.waiting_json or "{}")
                self._metrics.retry(waiting.get("after") or waiting.get("reason", ""))
            case MessageName.TASK_COMPLETED | MessageName.TASK_FAILED | MessageName.TASK_REJECTED:
                self._metrics.finished(item.status.value, str(task.reason or ""))
            case _:
                pass
