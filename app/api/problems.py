"""Errors as RFC 9457 problems: what each exception of the house means in HTTP, in one table.

A problem tells what the client can mend, and nothing of the inside: no exception text, SQL, path or library.
"""

import itertools
import logging
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.api.envelope_problems import ENVELOPE_PROBLEMS, INVALID_MESSAGE
from app.api.problem import MEDIA_TYPE, TITLES, Problem
from app.delivery.acknowledgements import NotYetSent
from app.delivery.places import TooManyStreams, TooManyWaits
from app.execution.cancellation import AlreadyOver
from app.execution.outside import LeaseLost, NoSuchExecution
from app.protocol.problems import MemberError, member_error
from app.protocol.strict_json import ForbiddenJson, NotJson
from app.security.envelopes.errors import ContentUnavailable, InvalidEnvelope, WrongSender
from app.security.errors import InvalidToken, RateLimited
from app.storage.errors import DuplicateMessage, Overloaded, QuotaExceeded, StorageUnavailable
from app.storage.revocations import TooManyRevocations
from app.submission.idempotency import KeyReused
from app.submission.outcomes import InvalidTask
from app.submission.retry import ContentErased, NotFailed

logger = logging.getLogger("app.api")
security_logger = logging.getLogger("app.security")

__all__ = [
    "KNOWN",
    "MEDIA_TYPE",
    "NOT_FOUND",
    "TITLES",
    "UNAUTHENTICATED",
    "Problem",
    "problem_of",
    "problem_response",
    "told",
]

RETRY_AFTER_S = "1"
STREAMS_RETRY_AFTER_S = "5"
WAITS_RETRY_AFTER_S = "1"
QUOTA_RETRY_AFTER_S = "5"

_process = secrets.token_hex(6)
_numbers = itertools.count(1)

_TOLD_NOWHERE_ELSE = (InvalidToken, InvalidEnvelope, WrongSender)
_REFUSALS = {401: "there is not exactly one bearer token", 403: "the token lacks the permission or the role"}

UNAUTHENTICATED = Problem(
    401,
    "invalid-token",
    "Send a valid token: Authorization: Bearer <token>.",
    headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
)
NOT_FOUND = Problem(404, "not-found", "There is no such resource, or it is not yours.")
INTERNAL_ERROR = Problem(500, "internal-error", "Something went wrong on our side; it has been logged.")


def _invalid_task(error: InvalidTask) -> Problem:
    members = {"task_id": error.task_id} if error.task_id else {}
    return Problem(422, "invalid-task", "The task is not acceptable; see errors.", errors=error.errors, members=members)


def _key_reused(error: KeyReused) -> Problem:
    return Problem(
        409,
        "message-id-reused",
        "This message_id (or Idempotency-Key) belongs to another task with other content: send a new one.",
        errors=[MemberError("/header/message_id", "has been used for other content")],
        members={"task_id": error.task_id},
    )


def _unavailable(_error: Exception) -> Problem:
    return Problem(
        503,
        "database-unavailable",
        "The database cannot be reached at the moment. Nothing is lost; repeat the request.",
        headers={"Retry-After": RETRY_AFTER_S},
    )


def _overloaded(_error: Exception) -> Problem:
    return Problem(
        503,
        "overloaded",
        "More is being submitted than can be stored at the moment. Nothing was kept; repeat the request later.",
        headers={"Retry-After": RETRY_AFTER_S},
    )


def _already_over(error: AlreadyOver) -> Problem:
    return Problem(
        409, "already-over", f"The task is {error.task.state} already.", members={"task_id": error.task.task_id}
    )


def _not_failed(error: NotFailed) -> Problem:
    return Problem(
        409,
        "not-failed",
        f"The task is {error.task.state}: only a Failed one can be retried.",
        members={"task_id": error.task.task_id, "task_status": str(error.task.state)},
    )


def _content_erased(error: ContentErased) -> Problem:
    return Problem(
        409, "content-erased", "The content of the task was erased.", members={"task_id": error.task.task_id}
    )


def _lease_lost(_error: LeaseLost) -> Problem:
    return Problem(
        409, "lease-lost", "This execution is not, or no longer, yours: it has ended, or another executor has the task."
    )


def _not_yet_sent(error: NotYetSent) -> Problem:
    return Problem(
        409,
        "not-yet-sent",
        f"The last message of the task is number {error.task.sequence}: acknowledge what you have received.",
        errors=[MemberError("/sequence", f"is beyond the last message, {error.task.sequence}")],
        members={"task_id": error.task.task_id, "last_sequence": error.task.sequence},
    )


def _too_many_revocations(error: TooManyRevocations) -> Problem:
    return Problem(409, "too-many-revocations", f"{_sentence(error)} Lift one, or change a key of your issuer.")


def _too_many_streams(error: TooManyStreams) -> Problem:
    return Problem(
        429, "too-many-streams", f"{_sentence(error)} Close one first.", headers={"Retry-After": STREAMS_RETRY_AFTER_S}
    )


def _too_many_waits(error: TooManyWaits) -> Problem:
    return Problem(
        429,
        "too-many-waits",
        f"{_sentence(error)} Ask without waiting, or wait for fewer tasks at once.",
        headers={"Retry-After": WAITS_RETRY_AFTER_S},
    )


def _rate_limited(error: RateLimited) -> Problem:
    advice = f"Wait {error.retry_after_s} s."
    if error.cost > error.rate.limit:
        advice = f"This call counts as {error.cost}: send fewer messages at once."
    return Problem(
        429,
        "rate-limit-exceeded",
        f"More than {error.rate} ({error.policy.replace('-', ' ')}). {advice}",
        headers={"Retry-After": str(error.retry_after_s)},
        members={"violated-policies": [error.policy], "limit": error.rate.limit, "window_s": error.rate.window_s},
    )


_QUOTAS = {
    "queued": ("tasks that wait for a start", "wait until some have started, or cancel them"),
    "stored_bytes": ("bytes of messages and results that are kept", "wait until old tasks are removed"),
}


def _quota_exceeded(error: QuotaExceeded) -> Problem:
    what, advice = _QUOTAS.get(error.policy, (error.policy, "wait"))
    return Problem(
        429,
        "quota-exceeded",
        f"Your quota of {what} is {error.limit}: {advice}. GET /v1/quota shows what you use.",
        headers={"Retry-After": QUOTA_RETRY_AFTER_S},
        members={"violated-policies": [error.policy], "limit": error.limit, "used": error.used},
    )


def _request_invalid(error: RequestValidationError) -> Problem:
    errors = [member_error(each) for each in error.errors()]
    return Problem(422, "invalid-request", "The request is not acceptable; see errors.", errors=errors)


def _http(error: HTTPException) -> Problem:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NOT_FOUND
    kind = TITLES.get(error.status_code, "error").lower().replace(" ", "-")
    return Problem(error.status_code, kind, str(error.detail), headers=error.headers)


def _gone(_error: ClientDisconnect) -> Problem:
    """Nobody is there to read it: the client went, or was too slow."""
    return Problem(400, "incomplete-body", "The body ended before its end.", headers={"Connection": "close"})


_TABLE: dict[type[Exception], Callable[[Any], Problem]] = {
    **ENVELOPE_PROBLEMS,
    Problem: lambda error: error,
    InvalidToken: lambda _error: UNAUTHENTICATED,
    NotJson: lambda error: Problem(400, "not-json", _sentence(error)),
    ForbiddenJson: lambda error: Problem(422, "forbidden-json", _sentence(error), errors=[MemberError("", str(error))]),
    InvalidTask: _invalid_task,
    KeyReused: _key_reused,
    # The key was taken a moment ago by a task that has been rejected or pruned since: a repetition will do.
    DuplicateMessage: _unavailable,
    StorageUnavailable: _unavailable,
    Overloaded: _overloaded,
    AlreadyOver: _already_over,
    NotFailed: _not_failed,
    ContentErased: _content_erased,
    NotYetSent: _not_yet_sent,
    TooManyRevocations: _too_many_revocations,
    LeaseLost: _lease_lost,
    NoSuchExecution: lambda _error: NOT_FOUND,
    TooManyStreams: _too_many_streams,
    TooManyWaits: _too_many_waits,
    RateLimited: _rate_limited,
    ClientDisconnect: _gone,
    QuotaExceeded: _quota_exceeded,
    RequestValidationError: _request_invalid,
    HTTPException: _http,
}
KNOWN = tuple(_TABLE)


def problem_of(error: Exception) -> Problem:
    """What an exception means in HTTP; a 500 for one that is not foreseen."""
    for known in type(error).__mro__:
        if known in _TABLE:
            return _TABLE[known](error)
    return INTERNAL_ERROR


def problem_response(error: Exception, path: str) -> Response:
    """The answer to an exception."""
    problem, body = told(error, path)
    headers = {**problem.headers, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(body), problem.status, headers, media_type=MEDIA_TYPE)


def told(error: Exception, path: str) -> tuple[Problem, dict[str, Any]]:
    """What an exception means, and that as the client is told it; the log is told the rest.

    `instance` is an id of this one answer. That of a refused token or envelope is the path instead: one and the same
    body for every cause.
    """
    problem = problem_of(error)
    instance = (
        path
        if problem is UNAUTHENTICATED or problem is INVALID_MESSAGE
        else f"urn:task-executor:request:{_process}-{next(_numbers):x}"
    )
    _note(error, problem, {"status": problem.status, "path": path, "instance": instance})
    return problem, problem.as_dict(instance)


def _note(error: Exception, problem: Problem, extra: dict[str, Any]) -> None:
    """One line, in the log that it is for: a refusal with its cause, a defect, or what an operator has to mend.

    The causes are fixed sentences: nothing of the token, or of the request's body, is in them.
    """
    cause = str(error) if isinstance(error, _TOLD_NOWHERE_ELSE) else _REFUSALS.get(problem.status)
    if cause is not None:
        security_logger.warning("refused", extra={**extra, "cause": cause})
    elif problem is INTERNAL_ERROR:
        logger.error("unforeseen error", exc_info=error, extra=extra)
    elif isinstance(error, ContentUnavailable):
        logger.error("%s", error, extra=extra)
    elif problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("answered %d", problem.status, extra=extra)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
