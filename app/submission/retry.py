"""Retry of a failed task: a new task from its message, linked to it by `retry_of`.

The new message is the old one with a header of its own and with what the request overrides, and is checked like any.
A deadline that has passed is left out unless the request names another. Without a message_id of its own the request
can be repeated: the same retry of the same task is the same new task.
"""

import json
import re
from datetime import datetime
from typing import Any

from app.clock import utc_now
from app.protocol import strict_json
from app.protocol.problems import MemberError
from app.protocol.roles import Principal
from app.protocol.states import State
from app.protocol.task import Task
from app.protocol.times import format_time
from app.submission.encrypted import EncryptedSubmission, hidden
from app.submission.handler import SubmissionHandler
from app.submission.outcomes import InvalidTask, Submission

_HEADER, _BODY, _SPECIFICATION = ("header",), ("body",), ("body", "task_specification")

PLACES: dict[str, tuple[str, ...]] = {
    "message_id": _HEADER,
    "priority": _BODY,
    "deadline": _BODY,
    "parameters": _SPECIFICATION,
    "resources": _SPECIFICATION,
    "timeout_s": _SPECIFICATION,
    "retry": _SPECIFICATION,
    "labels": _SPECIFICATION,
}
"""What may be overridden, and where in the message it stands."""

_SUFFIX = re.compile(r"~retry-[0-9a-f-]{36}$", re.ASCII)
_KEPT_LENGTH = 200
"""Characters of the old message_id in the new one, which has room for 255."""


class NotFailed(Exception):
    """Only a Failed task can be retried: the others are under way, done, or were never acceptable."""

    def __init__(self, task: Task) -> None:
        super().__init__(f"the task is {task.state}")
        self.task = task


class ContentErased(Exception):
    """There is no message to make a new task from."""

    def __init__(self, task: Task) -> None:
        super().__init__("the content of the task was erased")
        self.task = task


class Retry:
    """See the module's docstring."""

    def __init__(self, handler: SubmissionHandler, encrypted: EncryptedSubmission) -> None:
        self._handler = handler
        self._encrypted = encrypted

    async def retry(self, failed: Task, overrides: Any, encrypted_by: Principal | None = None) -> Submission:
        """The new task, or the one that the same request has made before. It belongs to the failed one's submitter.

        It is kept encrypted as the failed one was, or because the request came encrypted, from `encrypted_by`.

        Raises NotFailed, ContentErased, InvalidTask (pointers into the request; nothing is kept), KeyReused,
        StorageUnavailable, ContentUnavailable.
        """
        if failed.state is not State.FAILED:
            raise NotFailed(failed)
        if failed.erased:
            raise ContentErased(failed)
        if errors := _unknown(overrides):
            raise InvalidTask(errors, None)
        now = utc_now()
        message = retry_message(failed, await self._encrypted.text_of(failed), overrides, now)
        verdict = self._handler.check(message, now)
        seal = self._encrypted.seal_again(failed, encrypted_by)
        content = {"retry_of": failed.task_id, "overrides": overrides}
        if verdict.errors:
            key = message["header"]["message_id"]
            if isinstance(key, str) and (
                repeated := await self._handler.refusals.repetition(failed.submitter, key, content, seal)
            ):
                return repeated
            errors = verdict.errors if seal is None else list(map(hidden, verdict.errors))
            raise InvalidTask([_as_sent(error, overrides) for error in errors], None)
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        return await self._handler.submit_again(verdict, text, failed, content, seal)


def retry_message(failed: Task, text: str, overrides: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The submit_task message of the new task, from the `text` of the failed one's."""
    message: dict[str, Any] = strict_json.parse(text.encode())
    message["header"] = {"message_id": retry_message_id(failed), "timestamp": format_time(now)}
    if failed.deadline is not None and failed.deadline <= now:
        message["body"].pop("deadline", None)
    for name, value in overrides.items():
        place = message
        for step in PLACES[name]:
            place = place[step]
        place[name] = value
    return message


def retry_message_id(failed: Task) -> str:
    """The message_id of a retry that names none: the same for the same failed task."""
    return f"{_SUFFIX.sub('', failed.message_id)[:_KEPT_LENGTH]}~retry-{failed.task_id}"


def _unknown(overrides: Any) -> list[MemberError]:
    if not isinstance(overrides, dict):
        return [MemberError("", "must be an object")]
    return [
        MemberError(f"/{name[:80]}", f"cannot be overridden: {', '.join(PLACES)} can")
        for name in overrides
        if name not in PLACES
    ]


def _as_sent(error: MemberError, overrides: dict[str, Any]) -> MemberError:
    """The error with a pointer into the request, where the request holds the member."""
    for name in overrides:
        pointer = "".join(f"/{step}" for step in (*PLACES[name], name))
        if error.pointer == pointer or error.pointer.startswith(pointer + "/"):
            return error._replace(pointer=f"/{name}{error.pointer[len(pointer) :]}")
    return error
