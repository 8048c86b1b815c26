"""What a 409 can say, for the documentation: each kind of conflict with the words of its problem.

A route names those that it has (documented.conflicts), so that its page shows what can happen there and nothing else.
"""

from typing import Any

_TASK = {"task_id": "019dafb4-9c71-7c4e-8d0b-6a1f2e3d4c5b"}

CONFLICTS: dict[str, tuple[str, dict[str, Any]]] = {
    "message-id-reused": (
        "This message_id (or Idempotency-Key) belongs to another task with other content: send a new one.",
        {**_TASK, "errors": [{"pointer": "/header/message_id", "detail": "has been used for other content"}]},
    ),
    "already-over": ("The task is Completed already.", _TASK),
    "not-finished": (
        "The task is Executing: it has no result yet.",
        {**_TASK, "task_status": "Executing", "reason": None},
    ),
    "no-result": (
        "The task is Failed: it has no result.",
        {**_TASK, "task_status": "Failed", "reason": "execution_error"},
    ),
    "content-erased": ("The content of the task was erased.", _TASK),
    "not-failed": (
        "The task is Completed: only a Failed one can be retried.",
        {**_TASK, "task_status": "Completed"},
    ),
    "not-over": ("The task is Executing: cancel it, or wait for its end.", _TASK),
    "not-yet-sent": (
        "The last message of the task is number 11: acknowledge what you have received.",
        {
            **_TASK,
            "last_sequence": 11,
            "errors": [{"pointer": "/sequence", "detail": "is beyond the last message, 11"}],
        },
    ),
    "no-callback": ("The task has no callback: nothing of it is delivered by webhook.", {}),
    "lease-lost": (
        "This execution is not, or no longer, yours: it has ended, or another executor has the task.",
        {},
    ),
    "too-many-revocations": (
        "10000 revocations are in force. Lift one, or change a key of your issuer.",
        {},
    ),
}
