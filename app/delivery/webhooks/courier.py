"""One attempt at one message: signed, sent, judged and recorded.

What came back is not kept beyond the class of its status: neither the submitter nor the log can read through a webhook
what stands behind an address (blind server-side request forgery stays blind).
"""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from app.clock import utc_now
from app.delivery.acknowledgements import Acknowledgements
from app.delivery.webhooks.content import Bodies
from app.delivery.webhooks.secrets import SigningSecrets
from app.delivery.webhooks.signing import headers_of
from app.delivery.webhooks.verdict import (
    ACTIVE,
    FORBIDDEN,
    UNSIGNED,
    Answered,
    Schedule,
    decide,
    outcome_of,
)
from app.fault_points import reached
from app.outbound.client import OutboundClient
from app.outbound.errors import ForbiddenTarget, NoAnswer
from app.outbound.retry_after import retry_after_s
from app.protocol.callbacks import origin_of
from app.protocol.history import Item
from app.security.envelopes.errors import ContentUnavailable
from app.security.sealing import CannotOpen
from app.storage.deliveries import Attempt, Claimed, Deliveries, Finished

logger = logging.getLogger("app.delivery")

USER_AGENT = b"task-executor"

Observe = Callable[[str, float], None]
"""Hears of each attempt: its outcome, and how many seconds it took."""


class Ended(NamedTuple):
    """What came of looking after a delivery: `alive` says how its receiver is (None: nobody was called)."""

    alive: bool | None
    is_due: bool


class Courier:
    """See the module's docstring."""

    def __init__(
        self,
        deliveries: Deliveries,
        bodies: Bodies,
        secrets: SigningSecrets,
        acknowledgements: Acknowledgements,
        client: OutboundClient,
        schedule: Schedule,
        observe: Observe,
    ) -> None:
        self._deliveries = deliveries
        self._reader = bodies.reader
        self._bodies = bodies
        self._secrets = secrets
        self._acknowledgements = acknowledgements
        self._client = client
        self._schedule = schedule
        self._observe = observe

    async def attend(self, claimed: Claimed) -> Ended:
        """Sends the next message of a delivery, or lets it rest where there is none.

        Raises StorageUnavailable, and Conflict where the claim ran out meanwhile.
        """
        item = await self._deliveries.next_message(claimed)
        if item is None:
            await self._rest(claimed)
            return Ended(None, is_due=False)
        await reached("courier.before_call")
        attempted_at, begin = utc_now(), time.monotonic()
        answered = await self._send(claimed, item, int(attempted_at.timestamp()))
        seconds = time.monotonic() - begin
        await reached("courier.after_answer")
        finished = await self._record(claimed, item, answered, attempted_at, seconds)
        self._tell(claimed, item, answered, seconds, finished)
        return Ended(answered.is_alive, finished.is_due)

    async def _send(self, claimed: Claimed, item: Item, timestamp: int) -> Answered:
        try:
            content = await self._bodies.body_of(claimed.task_id, item)
        except ContentUnavailable as error:
            logger.error("a webhook cannot be encrypted: %s", error, extra={"task_id": claimed.task_id})  # noqa: TRY400 - the sentence says it all
            return Answered(UNSIGNED)
        try:
            keys = await self._secrets.keys_for(claimed)
        except CannotOpen as error:
            logger.error("a webhook cannot be signed: %s", error, extra={"task_id": claimed.task_id})  # noqa: TRY400 - no trace of a secret
            return Answered(UNSIGNED)
        headers = [
            (b"content-type", content.media_type),
            (b"user-agent", USER_AGENT),
            (b"task-executor-message", item.name.value.encode()),
            *headers_of(f"{claimed.task_id}.{item.sequence}", timestamp, content.body, keys),
        ]
        try:
            # The status is all that is wanted: no body is waited for.
            answer = await self._client.send("POST", claimed.url, headers, content.body, max_bytes=0)
        except ForbiddenTarget:
            return Answered(FORBIDDEN)
        except NoAnswer as error:
            return Answered(error.cause.value)
        wanted_s = retry_after_s(answer.header(b"retry-after"), utc_now())
        return Answered(outcome_of(answer.status), answer.status, wanted_s)

    async def _record(
        self, claimed: Claimed, item: Item, answered: Answered, attempted_at: datetime, seconds: float
    ) -> Finished:
        verdict = decide(answered, claimed.failures, claimed.waited_s, self._schedule, random.random())  # noqa: S311 - jitter
        return await self._deliveries.finish(
            Attempt(
                claimed.task_id,
                claimed.claim,
                item.sequence,
                answered.outcome,
                round(seconds * 1000),
                verdict.state,
                verdict.delay_s,
                attempted_at,
                answered.is_accepted,
                item.status.terminal,
            )
        )

    def _tell(self, claimed: Claimed, item: Item, answered: Answered, seconds: float, finished: Finished) -> None:
        self._observe(answered.outcome, seconds)
        logger.log(
            logging.INFO if finished.state == ACTIVE else logging.WARNING,
            "webhook",
            extra={
                "task_id": claimed.task_id,
                "sequence": item.sequence,
                # Neither path nor query: they may hold the receiver's secrets.
                "origin": origin_of(claimed.sink),
                "outcome": answered.outcome,
                "duration_ms": round(seconds * 1000),
                "delivery": finished.state,
            },
        )

    async def _rest(self, claimed: Claimed) -> None:
        """Nothing is to be sent: until the next message, or for good where the task is over.

        Then an answer that counts as an acknowledgement is recorded as one, once for all messages.
        """
        task = await self._reader.get(claimed.task_id)
        over = task is None or task.state.terminal
        if task is not None and over and claimed.acknowledged_by == "response" and claimed.behind:
            await self._acknowledgements.acknowledge(task, claimed.behind)
        await self._deliveries.rest(claimed, over=over)
