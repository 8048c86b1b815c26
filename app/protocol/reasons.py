"""How a task that was not completed came to its end: `details.reason` on the wire."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a task is Failed or Rejected. There is no state for any of these."""

    VALIDATION_FAILED = "validation_failed"
    RESOURCE_UNAVAILABLE = "resource_unavailable"
    EXECUTION_ERROR = "execution_error"
    TIMED_OUT = "timed_out"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    EXECUTOR_LOST = "executor_lost"
    RESULT_TOO_LARGE = "result_too_large"


RETRIED = frozenset({Reason.EXECUTION_ERROR, Reason.TIMED_OUT, Reason.EXECUTOR_LOST})
"""Reasons after which another attempt may help."""
