"""How a command ends that could not do what was asked.

CommandFailed     a sentence for the person, and the exit code
├── Usage         what was typed does not make sense
├── Refused       the service answered with a problem (RFC 9457)
└── Unreachable   no service answered
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What scripts may rely on; docs/cli.md lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class CommandFailed(Exception):
    """The message is what the person reads: what is wrong, and what to do about it."""

    exit_code = ExitCode.FAILED


class Usage(CommandFailed):
    """What was typed does not make sense."""

    exit_code = ExitCode.USAGE


class Unreachable(CommandFailed):
    """No service answered at the address."""

    exit_code = ExitCode.UNREACHABLE


class Refused(CommandFailed):
    """The service said no.

    `problem` is its problem document, or what stands for one where the answer was none. `retry_after` is the
    header as it came, or None.
    """

    exit_code = ExitCode.REFUSED

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: str | None) -> None:
        super().__init__(_explain(status, problem, retry_after))
        self.status = status
        self.problem = problem
        self.retry_after = retry_after


_WHAT_TO_DO = {
    401: "Give a token with --token or TASK_EXECUTOR_TOKEN; `task-executor token` prints one on the service's machine.",
    403: "The token lacks the permission: get one with another --role.",
    404: "Check the id, or the name. What is another submitter's is not shown either.",
    413: "Make the message smaller, or have the service's limit raised (TASK_EXECUTOR_MAX_BODY_BYTES).",
}


def _explain(status: int, problem: Mapping[str, Any], retry_after: str | None) -> str:
    title = str(problem.get("title") or "no reason was given")
    detail = str(problem.get("detail") or "")
    lines = [f"The service refused ({status}): {title}" + (f": {detail}" if detail and detail != title else "")]
    errors = problem.get("errors") or ()
    lines += [f"  {error.get('pointer') or '(the message)'}: {error.get('detail', '')}" for error in errors]
    if problem.get("task_id"):
        lines.append(f"The message is kept as the rejected task {problem['task_id']}.")
    if retry_after is not None:
        lines.append(f"Try again in {retry_after} seconds.")
    elif status in _WHAT_TO_DO:
        lines.append(_WHAT_TO_DO[status])
    return "\n".join(lines)
