"""What a handler returned or raised, as the outcome of its attempt. Read by every backend and by the child."""

import logging
import traceback
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from app.execution.backends.backend import Attempt, Failed, Succeeded
from app.protocol.reasons import Reason
from app.task_types.definition import PermanentError, RetryLater, TaskType

MAX_MESSAGE_CHARACTERS = 2_000
MAX_TRACE_CHARACTERS = 16_000
MAX_TRACE_FRAMES = 25
MAX_DETAILS_BYTES = 16_384

logger = logging.getLogger("app.execution")


class UnusableParameters(PermanentError):
    """The stored parameters do not fit the task type as this service knows it today."""


def parameters_of(kind: TaskType, parameters: dict[str, Any]) -> BaseModel:
    """The parameters as the model that the handler expects.

    They were checked when the task was submitted, so this fails only where the type has changed since.
    Raises UnusableParameters.
    """
    try:
        return kind.parameters.model_validate(parameters)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = "/".join(str(part) for part in first["loc"])
        raise UnusableParameters(f"the parameters do not fit the task type: /{where}: {first['msg']}") from None


def returned(result: object, max_bytes: int) -> Succeeded | Failed:
    """The outcome of a handler that returned; NaN and infinities become null, as everywhere in the service."""
    try:
        text = to_json(result, inf_nan_mode="null")
    except Exception as error:  # noqa: BLE001 - a result's own methods run here and may raise anything
        message = f"the handler returned something that is not JSON: {message_of(error)}"
        return Failed(Reason.EXECUTION_ERROR, {"kind": "ResultNotJson", "message": message}, permanent=True, used={})
    if len(text) > max_bytes:
        return too_large(len(text), max_bytes)
    return Succeeded(text.decode(), {})


def too_large(size: int, max_bytes: int) -> Failed:
    """The outcome of a handler whose result is larger than the service keeps, both in bytes of JSON."""
    message = f"the result takes {size} bytes of JSON; at most {max_bytes} are kept"
    return Failed(Reason.RESULT_TOO_LARGE, {"kind": "ResultTooLarge", "message": message}, permanent=True, used={})


def raised(error: BaseException) -> Failed:
    """The outcome of a handler that raised."""
    description = {"kind": type(error).__name__[:200], "message": message_of(error)}
    permanent = isinstance(error, PermanentError)
    retry_after_s = error.after_s if isinstance(error, RetryLater) else 0.0
    return Failed(Reason.EXECUTION_ERROR, description, permanent, used={}, retry_after_s=retry_after_s)


def message_of(error: BaseException) -> str:
    """The error's own words: cut at MAX_MESSAGE_CHARACTERS, and safe to encode and to store."""
    try:
        text = str(error)[:MAX_MESSAGE_CHARACTERS]
    except Exception:  # noqa: BLE001 - an exception's __str__ is the handler's code and may itself raise
        return "the error has no readable message"
    # Half of a surrogate pair cannot be encoded, and Postgres stores no NUL.
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


def trace_of(error: BaseException) -> str:
    """The traceback for the log: the innermost frames, bounded, since a recursion leaves thousands."""
    try:
        lines = traceback.format_exception(error, limit=-MAX_TRACE_FRAMES)
    except Exception:  # noqa: BLE001 - formatting calls the error's own methods
        return f"{type(error).__name__} (its traceback cannot be formatted)"
    return "".join(lines)[-MAX_TRACE_CHARACTERS:].encode(errors="replace").decode()


def log_failure(attempt: Attempt, kind: str, trace: str) -> None:
    """Writes what a handler raised to the service's log; the submitter sees kind and message only."""
    extra = {"task_id": attempt.task_id, "attempt": attempt.number}
    if attempt.confidential:
        trace = "(its traceback is not logged: the task came encrypted)"
    logger.warning("Attempt %d of a %s task raised %s\n%s", attempt.number, attempt.kind.name, kind, trace, extra=extra)


def progress_details(details: dict[str, Any]) -> bytes:
    """The details of a progress call as JSON.

    Raises ValueError where they are not JSON or take more than MAX_DETAILS_BYTES.
    """
    if not details:
        return b"{}"
    try:
        text = to_json(details, inf_nan_mode="null")
    except Exception as error:  # noqa: BLE001 - the details' own methods run here and may raise anything
        raise ValueError(f"the details of progress are not JSON: {message_of(error)}") from None
    if len(text) > MAX_DETAILS_BYTES:
        raise ValueError(f"the details of progress take {len(text)} bytes; at most {MAX_DETAILS_BYTES} are kept")
    return text


def plain_details(details: dict[str, Any]) -> dict[str, Any]:
    """A copy of the details that is plain JSON and that the handler no longer changes. Raises ValueError."""
    plain: dict[str, Any] = from_json(progress_details(details)) if details else {}
    return plain
