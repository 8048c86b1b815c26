"""What the service makes of an attempt in a child: of the child's answer, or of its death."""

import signal
from typing import Any

from pydantic_core import from_json

from app.execution.backends.backend import Attempt, Failed, Succeeded, Usage
from app.execution.backends.frames import Ended, Resting
from app.execution.backends.nursery import Exit
from app.execution.backends.outcomes import log_failure, too_large
from app.protocol.reasons import Reason


def answered(attempt: Attempt, ended: Ended, body: bytes, max_bytes: int, peak_mb: float) -> Succeeded | Failed:
    """The outcome that a child tells; `peak_mb` is the most memory that was seen from outside."""
    used = {"cpu_s": ended.cpu_s, "peak_memory_mb": max(ended.peak_memory_mb, round(peak_mb, 3))}
    if ended.error is None:
        return _succeeded(body, max_bytes, used)
    if ended.trace is not None:
        log_failure(attempt, ended.error.get("kind", "an error"), ended.trace)
    error = dict(ended.error)
    if error.get("kind") == MemoryError.__name__:
        error |= _memory(attempt.allocation.memory_mb, used)
    return Failed(ended.reason, error, ended.permanent, used, ended.retry_after_s)


def died(end: Exit, before: Resting | None, granted_mb: int, violation: str | None) -> Failed:
    """The outcome of a child that ended instead of answering, which another attempt may not.

    `before` is what it held before the attempt; `violation` is why the service itself killed it.
    """
    used = _used(end, before)
    error: dict[str, Any] = {"kind": "ProcessDied"}
    if violation is not None:
        error["message"] = f"the task's process was killed: it sent what it may not ({violation})"
    elif end.refused is not None:
        error["message"] = f"the task's process is lost: {end.refused}"
    elif end.taken_mb is not None:
        message = f"the task took {end.taken_mb:.0f} MiB of memory and was granted {granted_mb} MiB"
        error = {"kind": "MemoryExceeded", "message": message}
    else:
        error |= _evidence(end.returncode)
    if "peak_memory_mb" in used:
        error |= _memory(granted_mb, used)
    return Failed(Reason.EXECUTION_ERROR, error, permanent=False, used=used)


def _succeeded(body: bytes, max_bytes: int, used: Usage) -> Succeeded | Failed:
    """Takes a child's result. It becomes part of messages as it stands, so it must be JSON and nothing else."""
    if len(body) > max_bytes:
        return too_large(len(body), max_bytes)
    try:
        from_json(body, allow_inf_nan=False, cache_strings="none")
        return Succeeded(body.decode(), used)
    except ValueError as error:
        description = {"kind": "ResultNotJson", "message": f"the result is not JSON: {error}"}
        return Failed(Reason.EXECUTION_ERROR, description, permanent=True, used=used)


def _used(end: Exit, before: Resting | None) -> Usage:
    if before is None or end.refused is not None:
        return {}
    peak = max(end.taken_mb or 0.0, end.max_rss_mb - before.rss_mb, 0.0)
    return {"cpu_s": round(max(0.0, end.cpu_s - before.cpu_s), 6), "peak_memory_mb": round(peak, 3)}


def _memory(granted_mb: int, used: Usage) -> dict[str, Any]:
    return {"asked_memory_mb": granted_mb, "peak_memory_mb": used["peak_memory_mb"]}


def _evidence(returncode: int | None) -> dict[str, Any]:
    if returncode is None or returncode >= 0:
        return {"message": f"the task's process ended itself with exit code {returncode}", "exit_code": returncode}
    try:
        name = signal.Signals(-returncode).name
    except ValueError:  # a real-time signal
        name = f"signal {-returncode}"
    return {"message": f"the task's process was killed by {name}", "signal": name}
