"""Answers encrypted to the key that the caller's token is bound to (`cnf.jwk`): `Accept: application/jose`.

The answer is what it would have been in JSON, as a compact JWE; and the content of what came encrypted, which is sealed
in every other answer, is open in it for its submitter. Problems stay in plain: they tell nothing of any content.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app.api.answers import JsonAnswer, NotModified
from app.api.bodies import JOSE
from app.api.problems import Problem
from app.api.service import Service
from app.protocol.history import Item
from app.protocol.roles import Principal
from app.protocol.task import Task
from app.security.envelopes.errors import UnusableAnswerKey
from app.security.envelopes.recipients import Recipient, recipient_of
from app.submission.outcomes import Submission

RECIPIENT = "task_executor.recipient"

_KIND: tuple[bytes, bytes] = (b"content-type", JOSE)
_VARY = (b"vary", b"Accept")
_JOSE_RANGE = re.compile(rb"application/jose\s*(?:;(?!\s*q\s*=\s*0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)", re.IGNORECASE)
_OTHER_RANGE = re.compile(rb"(?:application/json|application/\*|\*/\*)", re.IGNORECASE)

NO_KEY = Problem(
    406,
    "no-answer-key",
    "Nothing can be encrypted for you: the token is bound to no public key (cnf.jwk). "
    "Get one that is, or ask for application/json.",
)


def note_recipient(scope: Scope, principal: Principal) -> None:
    """Puts whom the answer is encrypted for into the scope, where that is asked for.

    Raises a 406 problem where the token has no key and nothing but an encrypted answer will do, UnusableAnswerKey.
    """
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    if b"jose" not in accepted.lower() or not _JOSE_RANGE.search(accepted):
        return
    key = principal.answer_key
    if key is not None and key.jwk is not None:
        scope[RECIPIENT] = recipient_of(key.jwk)
    elif not _OTHER_RANGE.search(accepted):
        raise NO_KEY if key is None else UnusableAnswerKey(key.fault or "")


def recipient(request: Request) -> Recipient | None:
    """Whom the answer to this request is encrypted for; None: it is plain."""
    found: Recipient | None = request.scope.get(RECIPIENT)
    return found


def answered(scope: Scope, response: Response) -> Response:
    """The answer, encrypted where that was asked for and it is one with content; 304 stands for such a one."""
    found: Recipient | None = scope.get(RECIPIENT)
    if found is None or not isinstance(response, JsonAnswer | NotModified):
        return response
    headers = [(name, b"W/" + value if name == b"etag" else value) for name, value in response.added] + [_VARY]
    if isinstance(response, NotModified):
        return NotModified(headers)
    return JsonAnswer(response.status_code, found.seal(bytes(response.body)), headers, kind=_KIND)


def may_read(request: Request, principal: Principal, task: Task) -> bool:
    """The answer is encrypted for the one who has encrypted the task. An admin sees that there is content, not what."""
    return task.encryption_json is not None and recipient(request) is not None and task.submitter == principal.subject


async def shown(request: Request, service: Service, principal: Principal, task: Task) -> Task:
    """The task as the answer shows it: never to be written. Raises ContentUnavailable."""
    return await service.contents.opened(task) if may_read(request, principal, task) else task


async def shown_items(
    request: Request, service: Service, principal: Principal, task: Task, items: Iterable[Item]
) -> list[Item]:
    """Messages of its history as the answer shows them. Raises ContentUnavailable."""
    if not may_read(request, principal, task):
        return list(items)
    return [await service.contents.message(task, item) for item in items]


async def shown_submission(
    request: Request, service: Service, principal: Principal, submission: Submission
) -> Submission:
    """The answer to a submission; one that had come before may have content by now. Raises ContentUnavailable."""
    if recipient(request) is None or not submission.replayed:
        return submission
    task = await service.reader.get(submission.task_id)
    if task is None:
        return submission
    return replace(submission, status_json=(await shown(request, service, principal, task)).status_json())
