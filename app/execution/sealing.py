"""Content that came encrypted: opened at the last moment before an attempt, sealed before anything is recorded."""

import json
from dataclasses import dataclass, replace
from typing import Any

from app.execution.backends.backend import Failed, Outcome, Succeeded
from app.execution.holding import parameters_in
from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.security.envelopes.contents import ContentKey, Contents


@dataclass(frozen=True, slots=True)
class Sealed:
    """The content of one task under way."""

    key: ContentKey
    parameters: dict[str, Any]

    def details(self, details: dict[str, Any]) -> dict[str, Any]:
        """The details of a progress update as they are recorded."""
        if not details:
            return details
        sealed: dict[str, Any] = json.loads(self.key.seal("progress_details", json.dumps(details)))
        return sealed

    def outcome(self, outcome: Outcome) -> Outcome:
        """What became of the attempt, as it is recorded. Why the service itself stopped it is no secret."""
        match outcome:
            case Succeeded(result_json=result_json):
                return replace(outcome, result_json=self.key.seal("result", result_json))
            case Failed(error=error):
                return replace(outcome, error=self.key.seal_error(error))
            case _:
                return outcome


async def open_content(contents: Contents, task: Task) -> Sealed:
    """The content of a task that came encrypted and is about to run. Raises ContentUnavailable."""
    parameters = parameters_in(await contents.submission(task))
    return Sealed(await contents.key_of(task), parameters)


async def sealed_of(contents: Contents | None, task: Task) -> Sealed | None:
    """The content of a task that is about to run, where it came encrypted. Raises ContentUnavailable."""
    if task.encryption_json is None:
        return None
    assert contents is not None, "no encrypted message was ever taken"
    return await open_content(contents, task)


UNREADABLE = Failed(
    Reason.EXECUTION_ERROR,
    {"kind": "ContentUnavailable", "message": "the node that was to run the task cannot open its content"},
    permanent=False,
    used={},
)
"""What becomes of an attempt at a task whose key is not there (any more)."""
