"""Messages that are not acceptable: kept as Rejected tasks, unless they were accepted before.

What was acceptable once need not be so for ever: its deadline passes, its kind is no longer offered. Who never heard
that it was accepted repeats it all the same, and is to find the task that it made.
"""

from datetime import datetime
from typing import Any

from app.protocol.messages import Header
from app.storage.errors import QuotaExceeded
from app.storage.journal import Journal
from app.storage.queries import Queries
from app.submission.outcomes import InvalidTask, Submission, replay_of
from app.submission.seal import Seal, is_same
from app.submission.verdict import Verdict, rejected_task, validation_error


class Refusals:
    """See the module's docstring."""

    def __init__(self, journal: Journal, queries: Queries) -> None:
        self._journal = journal
        self._queries = queries

    async def answer(
        self, verdict: Verdict, text: str, submitter: str, now: datetime, idempotency_key: str | None, seal: Seal | None
    ) -> Submission:
        """The task that the same message has made before.

        Raises InvalidTask where there is none, StorageUnavailable, ContentUnavailable.
        """
        header = _header_of(verdict.value)
        if header is None:
            raise InvalidTask(verdict.errors, None)
        key, content = idempotency_key or header.message_id, verdict.value.get("body")
        if (repeated := await self.repetition(submitter, key, content, seal)) is not None:
            return repeated
        raise InvalidTask(verdict.errors, await self._keep(verdict, header, text, submitter, now, seal))

    async def repetition(self, submitter: str, key: str, content: Any, seal: Seal | None) -> Submission | None:
        """What a message with this key and this content has made before, if there was one. Raises as `answer` does."""
        known = await self._queries.find_submission(submitter, key)
        same = known is not None and await is_same(known, content, seal)
        return replay_of(known) if known is not None and same else None

    async def _keep(
        self, verdict: Verdict, header: Header, text: str, submitter: str, now: datetime, seal: Seal | None
    ) -> str | None:
        """Keeps a message whose header is sound as a Rejected task, where there is room for it; answers its id."""
        task = rejected_task(verdict, header, text, submitter, now)
        error = validation_error(verdict.errors)
        if seal is None:
            task.submit(now, valid=False)
            task.reject(now, error)
        else:
            seal.close(task, verdict.value.get("body"), now, valid=False)
            task.reject(now, seal.hide(error))
        try:
            await self._journal.commit(task.change())
        except QuotaExceeded:
            return None
        return task.task_id


def _header_of(value: Any) -> Header | None:
    """The header of a message that may be wrong in any way."""
    try:
        return Header.model_validate(value["header"])
    except (ValueError, TypeError, KeyError):
        return None
