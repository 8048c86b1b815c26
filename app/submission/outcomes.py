"""What can become of a message: a task, new or known already, or nothing but a list of what is wrong with it."""

from dataclasses import dataclass

from app.protocol.problems import MemberError
from app.protocol.task import Task


@dataclass(frozen=True, slots=True)
class Submission:
    """An answer: the task's status as it was committed, and whether it had been submitted before."""

    task_id: str
    status_json: str
    replayed: bool


class InvalidTask(Exception):
    """The message is not acceptable. `task_id` is that of the Rejected task, where the message could be kept."""

    def __init__(self, errors: list[MemberError], task_id: str | None) -> None:
        super().__init__("the message is not acceptable")
        self.errors = errors
        self.task_id = task_id


def replay_of(known: Task) -> Submission:
    """The answer to a message that has been accepted before: its task as it is now."""
    return Submission(known.task_id, known.status_json(), replayed=True)
