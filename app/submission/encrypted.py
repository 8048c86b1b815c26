"""Messages that come encrypted (protocol, "Security Measures"): opened, bound to their sender, and kept sealed.

A message names the subject whose token sends it: `sub` in the protected header of the JWE or beside `type`, or
`submitter` in the message's own header. Everybody knows the service's public key, so an envelope proves nothing of who
made it; but what one submitter has encrypted cannot be sent, and its result not be read, by another.
"""

import hmac
import json
from datetime import datetime
from typing import Any

from app.protocol import strict_json
from app.protocol.messages import Header, RetryPolicy, SubmitBody, SubmitTask, TaskSpecification
from app.protocol.problems import MemberError
from app.protocol.resources import Resources
from app.protocol.roles import Principal
from app.protocol.task import Task
from app.security.envelopes.compact import Envelope
from app.security.envelopes.contents import ContentKey, Contents
from app.security.envelopes.errors import InvalidEnvelope, WrongSender
from app.security.envelopes.opener import Opener
from app.submission.handler import SubmissionHandler
from app.submission.idempotency import canonical, content_digest
from app.submission.outcomes import InvalidTask, Submission

_DOTS = 4
_SAID = frozenset(
    name
    for model in (SubmitTask, Header, SubmitBody, TaskSpecification, Resources, RetryPolicy)
    for name in model.model_fields
) - {"parameters", "labels", "custom"}
"""Members that errors may speak of: their names are the protocol's, and what is in them is no secret."""

HIDDEN = "is not acceptable: why is told where the message's content is, in details.error of the rejected task"


class EncryptedSubmission:
    """See the module's docstring."""

    def __init__(self, handler: SubmissionHandler, opener: Opener, contents: Contents) -> None:
        self._handler = handler
        self._opener = opener
        self._contents = contents

    async def submit(self, raw: bytes, sender: Principal, idempotency_key: str | None = None) -> Submission:
        """Takes one compact JWE with a submit_task message.

        Raises EnvelopeTooLarge, InvalidEnvelope, WrongSender, ContentUnavailable, and as the handler's `submit`.
        """
        value, text = await self._open(raw, sender.subject)
        seal = _Seal(self._contents, answers_to=_answer_jwk(sender), as_sent=json.dumps(raw.decode()))
        try:
            return await self._handler.submit_value(value, text, sender.subject, idempotency_key, seal)
        except InvalidTask as error:
            raise InvalidTask(list(map(hidden, error.errors)), error.task_id) from None

    async def dry_run(self, raw: bytes, sender: Principal, idempotency_key: str | None = None) -> dict[str, Any]:
        """What `submit` would do with the message; nothing is kept. Raises as `submit` does."""
        value, _ = await self._open(raw, sender.subject)
        try:
            return await self._handler.dry_run_value(value, sender.subject, idempotency_key, _Seal(self._contents))
        except InvalidTask as error:
            raise InvalidTask(list(map(hidden, error.errors)), None) from None

    async def submit_batch(self, values: list[Any], sender: Principal) -> list[Submission | Exception]:
        """As the handler's, where a message may also be the text of a JWE."""
        return await self._handler.submit_batch(values, sender.subject, lambda value, _: self._outcome(value, sender))

    async def text_of(self, task: Task) -> str:
        """The text of a task's submit_task message. Raises ContentUnavailable."""
        return await self._contents.submission(task)

    async def open(self, raw: bytes, sender: Principal) -> Any:
        """What another message than a submission says. Raises EnvelopeTooLarge, InvalidEnvelope, WrongSender."""
        value, _ = await self._open(raw, sender.subject)
        return value

    def seal_again(self, failed: Task, encrypted_by: Principal | None = None) -> "_Seal | None":
        """How a new task in place of a failed one is kept: as that one was, or as the request came. None: in plain."""
        if failed.encryption_json is None:
            return None if encrypted_by is None else _Seal(self._contents, _answer_jwk(encrypted_by))
        return _Seal(self._contents, answers_to=self._contents.answers_to(failed))

    async def _outcome(self, value: Any, sender: Principal) -> Submission | Exception:
        if not isinstance(value, str) or value.count(".") != _DOTS:
            return await self._handler.outcome(value, sender.subject)
        try:
            return await self.submit(value.encode(), sender)
        except Exception as error:  # noqa: BLE001 - answered as this message's outcome
            return error

    async def _open(self, raw: bytes, subject: str) -> tuple[Any, str]:
        """The message inside, and its text, both without the sender. Raises InvalidEnvelope, WrongSender."""
        envelope, inside = await self._opener.open(raw)
        try:
            value = strict_json.parse(inside)
        except (strict_json.NotJson, strict_json.ForbiddenJson):
            raise InvalidEnvelope("what is inside is not strict JSON") from None
        if not isinstance(value, dict):
            raise InvalidEnvelope("what is inside is not a JSON object")
        _check_sender(envelope, value, subject)
        return value, json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Seal:
    """How one message's content is kept; see `seal.Seal`.

    `as_sent` is its JWE as JSON; without one the history shows the submission as it is sealed.
    """

    def __init__(self, contents: Contents, answers_to: str | None = None, as_sent: str | None = None) -> None:
        self._contents = contents
        self._answers_to = answers_to
        self._as_sent = as_sent
        self._key: ContentKey | None = None

    def close(self, task: Task, content: Any, now: datetime, *, valid: bool) -> None:
        """Seals the submission and records it as it was sent."""
        key = self._key = self._contents.new_key(task, self._answers_to)
        task.submission = key.seal("submission", task.submission)
        # A plain digest would let who has the database try out what the content might be.
        task.content_digest = key.digest(canonical(content))
        task.submit(now, valid=valid, as_sent=self._as_sent)

    def hide(self, error: dict[str, Any]) -> dict[str, Any]:
        """The error of a task that this has closed, sealed."""
        assert self._key is not None, "closed before its error is hidden"
        return self._key.seal_error(error)

    async def is_same(self, known: Task, content: Any) -> bool:
        """Compares by the other task's own key. Raises ContentUnavailable."""
        if known.encryption_json is None:
            return known.content_digest == content_digest(content)
        key = await self._contents.key_of(known)
        return hmac.compare_digest(known.content_digest, key.digest(canonical(content)))


def hidden(error: MemberError) -> MemberError:
    """An error as it may be told in the open: where it points into the content, neither the way nor the reason."""
    steps = error.pointer.split("/")[1:]
    said = next((number for number, step in enumerate(steps) if step not in _SAID), len(steps))
    if said == len(steps):
        return error
    # The first name that is not said is said where it is one of ours: parameters, labels, custom.
    told = said + (steps[said] in ("parameters", "labels", "custom"))
    return MemberError("".join(f"/{step}" for step in steps[:told]), HIDDEN)


def _check_sender(envelope: Envelope, message: dict[str, Any], subject: str) -> None:
    """Raises WrongSender unless the message names the subject, wherever it names one; takes the names out of it."""
    named = [] if envelope.subject is None else [envelope.subject]
    if "sub" in message:
        named.append(message.pop("sub"))
    header = message.get("header")
    if isinstance(header, dict) and "submitter" in header:
        named.append(header.pop("submitter"))
    if not named or any(name != subject for name in named):
        raise WrongSender


def _answer_jwk(sender: Principal) -> str | None:
    return None if sender.answer_key is None else sender.answer_key.jwk
