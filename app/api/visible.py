"""Tasks as a caller may see them: what is another's is not there."""

import json
import re
from contextlib import suppress

from app.api.problems import NOT_FOUND, security_logger
from app.api.service import Service
from app.clock import clock
from app.execution.outside_claims import owner_of
from app.protocol.roles import Permission, Principal
from app.protocol.states import QUEUED
from app.protocol.task import Task
from app.storage.errors import StorageUnavailable

JUST_QUEUED = '{"reason":"queued"}'
"""What is said of a task that waits where this node does not see it."""

TASK_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


async def visible_task(service: Service, principal: Principal, task_id: str) -> Task:
    """The task, if it is there and the caller submitted it, executes it, or is an admin. Raises the 404 problem."""
    if not TASK_ID.fullmatch(task_id):
        raise NOT_FOUND
    task = await service.reader.get(task_id)
    if task is None:
        raise NOT_FOUND
    if not _is_visible(task, principal):
        extra = {"cause": "the task is another's", "subject": principal.subject, "task_id": task_id}
        security_logger.warning("refused", extra=extra)
        raise NOT_FOUND
    return task


def _is_visible(task: Task, principal: Principal) -> bool:
    if principal.admin or task.submitter == principal.subject:
        return True
    return principal.may(Permission.EXECUTE_TASK) and task.lease_owner == owner_of(principal.subject)


async def why_it_waits(service: Service, task: Task) -> str | None:
    """`details.waiting` of a task that has not started, as JSON; None for any other."""
    if task.state not in QUEUED:
        return None
    if service.pausing.holds_back(task.type):
        return '{"reason":"paused"}'
    if (held_back := await service.gate.explain(task)) is not None:
        return held_back
    explained = service.manager.waiting(task.task_id, clock.seconds())
    if explained is not None:
        return json.dumps(explained, separators=(",", ":"))
    return task.waiting_json or JUST_QUEUED


async def why_it_waits_anywhere(service: Service, task: Task) -> str | None:
    """The same, with what the database and the other nodes can tell of a task that is not at hand here.

    For those who ask for an explanation: too much for a poll. While the database does not answer, less is told.
    """
    waiting = await why_it_waits(service, task)
    if waiting != JUST_QUEUED or task.type in service.outside.claims.types:
        return waiting
    with suppress(StorageUnavailable):
        if (explained := await service.elsewhere.explain(task, clock.seconds())) is not None:
            return json.dumps(explained, separators=(",", ":"))
    return waiting
