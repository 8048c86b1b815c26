"""The task_status message (protocol, "Message Types"): what a submitter is told of a task, as JSON text.

Put together from parts rather than serialized as a whole: five messages of a task's life are of this kind, its
identity never changes, and its result and errors are JSON text already.
"""

from functools import lru_cache
from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from app.protocol.resources import Amounts, to_wire
from app.protocol.times import format_time

if TYPE_CHECKING:
    from app.protocol.task import Task


def json_text(value: Any) -> str:
    """Compact JSON of a value; NaN and infinities, which JSON does not have, become null."""
    return to_json(value, inf_nan_mode="null").decode()


@lru_cache(maxsize=1024)
def _resources_json(amounts: tuple[tuple[str, int], ...]) -> str:
    return json_text(to_wire(dict(amounts)))


def resources_json(amounts: Amounts) -> str:
    """The vector as the wire shows it, as JSON text. Remembered: most tasks ask for what others asked for."""
    return _resources_json(tuple(amounts.items()))


def status_json(task: "Task", waiting_json: str | None = None) -> str:
    """The task_status message (protocol, "Message Types") as compact JSON text.

    Put together from parts: five messages of a task's life are of this kind, and its identity never
    changes. `waiting_json` is a fresher explanation of why it waits than the one stored.
    """
    identity = task.identity_json
    if identity is None:
        identity = task.identity_json = _render_identity(task)
    started = f'"{format_time(task.started_at)}"' if task.started_at else "null"
    finished = f'"{format_time(task.finished_at)}"' if task.finished_at else "null"
    progress = "null" if task.progress is None else json_text(task.progress)
    reason = f'"{task.reason}"' if task.reason else "null"
    moment = format_time(task.updated_at or task.submitted_at)
    return (
        f'{{"type":"task_status","header":{{"message_id":"{task.task_id}.{task.sequence}",'
        f'"reference_id":{quote(task.message_id)},"timestamp":"{moment}"}},'
        f'"body":{{"status":"{task.state}","progress":{progress},"details":{{{identity}'
        f'"attempt":{task.attempt},"started_at":{started},"finished_at":{finished},"sequence":{task.sequence},'
        f'"acknowledged":{task.acknowledged},'
        f'"resources":{{"requested":{resources_json(task.requested)},'
        f'"allocated":{resources_json(task.allocated)},'
        f'"used":{json_text(task.used) if task.used else "{}"}}},'
        f'"progress_details":{task.progress_details_json or "null"},'
        f'"waiting":{waiting_json or task.waiting_json or "null"},"warning":{task.warning_json or "null"},'
        f'"reason":{reason},'
        f'"error":{task.error_json or "null"},"result":{task.result_json or "null"}}}}}}}'
    )


def _render_identity(task: "Task") -> str:
    deadline = f'"{format_time(task.deadline)}"' if task.deadline else "null"
    retry_of = f'"{task.retry_of}"' if task.retry_of else "null"
    return (
        f'"task_id":"{task.task_id}","type":{quote(task.type)},"priority":{task.priority},"deadline":{deadline},'
        f'"submitter":{quote(task.submitter)},"submitted_at":"{format_time(task.submitted_at)}",'
        f'"labels":{json_text(task.labels) if task.labels else "{}"},"retry_of":{retry_of},'
        f'"max_attempts":{task.retry.max_attempts},"encrypted":{"true" if task.encryption_json else "false"},'
    )
