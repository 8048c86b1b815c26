"""task_submission_handler: validates incoming tasks and puts them into the journal (protocol, "Required Components").

A message is answered only after the commit: accepted and rejected tasks alike are durable by then.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from app.clock import utc_now
from app.fault_points import reached
from app.protocol import strict_json
from app.protocol.messages import RetryPolicy, SubmitTask
from app.protocol.resources import Amounts
from app.protocol.task import Task
from app.storage.errors import DuplicateMessage, QuotaExceeded, StorageError, StorageUnavailable
from app.storage.journal import Journal
from app.storage.queries import Queries
from app.submission.callbacks import Callbacks
from app.submission.dry_run import prospect
from app.submission.handover import Handover, started_or_not
from app.submission.idempotency import KeyReused, content_digest
from app.submission.identifiers import new_task_id
from app.submission.outcomes import InvalidTask, Submission, replay_of
from app.submission.outlook import Outlook
from app.submission.refusal import Refusals
from app.submission.resource_validator import check_limits, check_resources, resolve
from app.submission.seal import Seal, is_same
from app.submission.task_validator import check_task
from app.submission.verdict import Verdict
from app.task_types.definition import TaskType
from app.task_types.registry import Registry

SubmitOne = Callable[[Any, str], Awaitable[Submission | Exception]]
"""What becomes of one message of a batch, from this submitter."""


class SubmissionHandler:
    """See the module's docstring."""

    def __init__(
        self,
        journal: Journal,
        queries: Queries,
        registry: Registry,
        handover: Handover,
        *,
        outlook: Outlook,
        retry: RetryPolicy,
        callbacks: Callbacks,
    ) -> None:
        self._journal = journal
        self._queries = queries
        self.refusals = Refusals(journal, queries)
        self._registry = registry
        self._handover = handover
        self._outlook = outlook
        self._retry = retry
        self._callbacks = callbacks
        # There are few different ones.
        self._retry_policy = lru_cache(maxsize=1024)(self._make_policy)

    async def submit(self, raw: bytes, submitter: str, idempotency_key: str | None = None) -> Submission:
        """Takes one submit_task message.

        Raises strict_json.NotJson or ForbiddenJson, InvalidTask, KeyReused, QuotaExceeded, StorageUnavailable
        (Overloaded before anything is looked at).
        """
        value = strict_json.parse(raw)
        return await self.submit_value(value, raw.decode(), submitter, idempotency_key)

    async def submit_value(
        self, value: Any, text: str, submitter: str, idempotency_key: str | None = None, seal: Seal | None = None
    ) -> Submission:
        """As `submit`, for a message that has been parsed already; `text` is its exact text."""
        self._journal.admit()
        now = utc_now()
        verdict = self.check(value, now)
        text = self._callbacks.kept_text(value, text)
        if verdict.errors or verdict.checked.message is None or verdict.checked.kind is None:
            return await self.refusals.answer(verdict, text, submitter, now, idempotency_key, seal)
        message, kind = verdict.checked.message, verdict.checked.kind

        def accept() -> Awaitable[Submission]:
            task = self._task(message, kind, verdict.requested, text, submitter, now)
            if idempotency_key is not None:
                task.idempotency_key = idempotency_key
            return self._accept(task, verdict.value["body"], message, seal)

        return await started_or_not(accept)

    async def submit_again(
        self, verdict: Verdict, text: str, failed: Task, content: Any, seal: Seal | None = None
    ) -> Submission:
        """A new task in place of a failed one, from a message that `check` found nothing wrong with (see retry.py).

        `content` tells repetitions of one request from other requests. Raises KeyReused, StorageUnavailable.
        """
        message, kind = verdict.checked.message, verdict.checked.kind
        assert message is not None, "it has been checked"
        assert kind is not None, "it has been checked"

        async def accept() -> Submission:
            task = self._task(message, kind, verdict.requested, text, failed.submitter, utc_now())
            task.retry_of = failed.task_id
            task.registration = await self._callbacks.with_secret_of(failed.task_id, task.registration)
            return await self._accept(task, content, message, seal)

        return await started_or_not(accept)

    async def dry_run(self, raw: bytes, submitter: str, idempotency_key: str | None = None) -> dict[str, Any]:
        """What `submit` would do with the message; nothing is kept. Raises as `submit` does."""
        return await self.dry_run_value(strict_json.parse(raw), submitter, idempotency_key)

    async def dry_run_value(
        self, value: Any, submitter: str, idempotency_key: str | None = None, seal: Seal | None = None
    ) -> dict[str, Any]:
        """As `dry_run`, for a message that has been parsed already."""
        verdict = self.check(value, utc_now())
        message, kind = verdict.checked.message, verdict.checked.kind
        if verdict.errors or message is None or kind is None:
            raise InvalidTask(verdict.errors, None)
        known = await self._queries.find_submission(submitter, idempotency_key or message.header.message_id)
        if known is not None and not await is_same(known, verdict.value["body"], seal):
            raise KeyReused(known.task_id)
        task = self._task(message, kind, verdict.requested, "", submitter, utc_now())
        return prospect(task, known, self._outlook)

    def check(self, value: Any, now: datetime) -> Verdict:
        """Both validators over one parsed message; writes nothing."""
        checked = check_task(value, self._registry, now)
        requested: Amounts = {}
        errors = checked.errors
        if checked.message is not None and checked.kind is not None:
            requested = resolve(checked.message.body.task_specification.resources, checked.kind)
            errors = errors + self._callbacks.check(checked.message) + check_limits(requested, checked.kind)
            if checked.kind.runs_in != "external":
                errors = errors + check_resources(requested, self._outlook.capacities)
        return Verdict(self._callbacks.covered(value), checked, requested, errors)

    async def submit_batch(
        self, values: list[Any], submitter: str, one: SubmitOne | None = None
    ) -> list[Submission | Exception]:
        """Each message on its own, in order; an outcome for each, by `one` or as `outcome` says. They share commits.

        Raises StorageUnavailable where that is the outcome of every one.
        """
        outcomes = await asyncio.gather(*((one or self.outcome)(value, submitter) for value in values))
        if all(isinstance(outcome, StorageUnavailable) for outcome in outcomes):
            raise StorageUnavailable("none of the messages could be stored")
        return list(outcomes)

    async def outcome(self, value: Any, submitter: str) -> Submission | Exception:
        """What became of one message of a batch."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        try:
            return await self.submit_value(value, text, submitter)
        except Exception as error:  # noqa: BLE001 - answered as this message's outcome
            return error

    async def _accept(self, task: Task, content: Any, message: SubmitTask, seal: Seal | None) -> Submission:
        if seal is None:
            task.content_digest = content_digest(content)
            task.submit(task.submitted_at, valid=True)
        else:
            seal.close(task, content, task.submitted_at, valid=True)
        task.accept(task.submitted_at, self._outlook.warning(task))
        return await self._store(task, message.body.task_specification.parameters, content, seal)

    async def _store(self, task: Task, parameters: dict[str, Any], content: Any, seal: Seal | None) -> Submission:
        # The answer is the task as accepted; the handover may start it, which is then stored in the same commit.
        submission = Submission(task.task_id, task.status_json(), replayed=False)
        reserved = self._handover.reserve(task)
        try:
            await reached("submission.before_commit")
            await self._journal.commit(task.change())
            await reached("submission.after_commit")
        except (DuplicateMessage, QuotaExceeded) as refusal:
            if reserved:
                self._handover.withdraw(task, refusal)
            # A repetition asks for nothing more than it has.
            return await self._replay(task, content, seal, refusal)
        except BaseException:
            # Not stored, or in doubt: if it was, its lease runs out and it is rescued.
            if reserved:
                self._handover.withdraw(task)
            raise
        if reserved:
            # What came encrypted is opened again when it runs, and lies nowhere in the open until then.
            self._handover.deliver(task, parameters if seal is None else {})
        else:
            self._handover.announce(task)
        return submission

    async def _replay(self, task: Task, content: Any, seal: Seal | None, refusal: StorageError) -> Submission:
        known = await self._queries.find_submission(task.submitter, task.idempotency_key)
        if known is None:
            raise refusal
        if not await is_same(known, content, seal):
            raise KeyReused(known.task_id)
        return replay_of(known)

    def _task(
        self, message: SubmitTask, kind: TaskType, requested: Amounts, text: str, submitter: str, now: datetime
    ) -> Task:
        specification = message.body.task_specification
        named = {"max_attempts": kind.max_attempts, **_named(specification.retry)}
        registration = self._callbacks.register(specification.callback, submitter)
        return Task(
            task_id=new_task_id(),
            message_id=message.header.message_id,
            idempotency_key=message.header.message_id,
            content_digest=b"",
            submitter=submitter,
            type=kind.name,
            priority=message.body.priority,
            submission=text,
            deadline=message.body.deadline,
            labels=specification.labels,
            requested=requested,
            timeout_s=specification.timeout_s or kind.timeout_s,
            retry=self._retry_policy(tuple(named.items())),
            submitted_at=now,
            callback=registration is not None,
            registration=registration,
        )

    def _make_policy(self, named: tuple[tuple[str, Any], ...]) -> RetryPolicy:
        """The service's policy with these members in place of its own."""
        return self._retry.model_copy(update=dict(named))


def _named(retry: RetryPolicy | None) -> dict[str, Any]:
    """The members of its retry policy that the message names; the others are the type's and the service's."""
    return {} if retry is None else {name: getattr(retry, name) for name in retry.model_fields_set}
