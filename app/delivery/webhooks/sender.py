"""The loop that takes what is due to be sent, as long as there are places, and has a courier look after each.

Woken by the journal's commits in this process, so that a delivery begins at once; what nobody was woken for (another
node wrote it, or died) is found by looking once a second.
"""

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Iterable

from app.delivery.webhooks.courier import Courier
from app.delivery.webhooks.lines import Lines
from app.protocol.callbacks import submitter_of
from app.storage.deliveries import Candidate, Claimed, Deliveries
from app.storage.errors import Conflict, StorageUnavailable
from app.storage.sparing import pause_s

logger = logging.getLogger("app.delivery")

LOOK_S = 1.0
SINKS_AT_ONCE, EACH = 200, 8
"""Sinks looked at in one read, and deliveries taken note of at each."""
MAX_NOTED, MAX_NOTED_OF_ONE = 2000, 200
"""Deliveries kept in mind, in all and of one submitter; the rest is found again by looking."""
DRAIN_S = 3.0
"""Seconds that attempts under way get at shutdown; what was sent without its answer is sent again by others."""


class WebhookSender:
    """See the module's docstring."""

    def __init__(self, deliveries: Deliveries, courier: Courier, lines: Lines) -> None:
        self._deliveries = deliveries
        self._courier = courier
        self._lines = lines
        # Deliveries that may be due, with their sinks; where there is no place for them they wait here.
        self._noted: dict[str, str | None] = {}
        self._after = ""
        self._look_at = 0.0
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._attempts: dict[asyncio.Task[None], Claimed] = {}

    def start(self) -> None:
        """Begins to send."""
        self._loop = asyncio.create_task(self._run(), name="webhooks")

    def nudge(self, task_ids: Iterable[str]) -> None:
        """Something has been recorded for the submitters of these tasks. Returns at once."""
        for task_id in task_ids:
            if len(self._noted) < MAX_NOTED:
                self._noted.setdefault(task_id, None)
        self._wake.set()

    async def close(self) -> None:
        """Takes nothing more, and gives what is under way a little time."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        if self._attempts:
            _, slow = await asyncio.wait(self._attempts, timeout=DRAIN_S)
            await self._break_off([(attempt, self._attempts[attempt]) for attempt in slow])

    async def _break_off(self, slow: list[tuple[asyncio.Task[None], Claimed]]) -> None:
        for attempt, _ in slow:
            attempt.cancel()
        await asyncio.gather(*(attempt for attempt, _ in slow), return_exceptions=True)
        with contextlib.suppress(StorageUnavailable):
            await self._deliveries.give_back([claimed for _, claimed in slow])

    async def _run(self) -> None:
        while True:
            try:
                await self._take_note()
                await self._take_up()
            except StorageUnavailable:
                await asyncio.sleep(LOOK_S)
            except Exception:
                logger.exception("webhooks failed to be taken up")
                await asyncio.sleep(LOOK_S)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def _take_note(self) -> None:
        """Notes what is due at some more sinks, once a second, and the sinks of what was nudged."""
        now = asyncio.get_running_loop().time
        if (begin := now()) >= self._look_at or self._after:
            found, self._after = await self._deliveries.due(self._after, SINKS_AT_ONCE, EACH)
            self._look_at = begin + pause_s(LOOK_S, now() - begin)
            self._note(found)
            if self._after:
                self._wake.set()
        if unknown := [task_id for task_id, sink in self._noted.items() if sink is None]:
            for task_id in unknown:
                del self._noted[task_id]
            self._note(await self._deliveries.sinks_of(unknown))

    def _note(self, found: list[Candidate]) -> None:
        for candidate in found:
            if len(self._noted) < MAX_NOTED:
                self._noted[candidate.task_id] = candidate.sink

    async def _take_up(self) -> None:
        """Claims what there are places for, one of each sink after the other."""
        picked = self._pick()
        claimed: list[Claimed] = []
        try:
            if picked:
                claimed = await self._deliveries.claim(list(picked))
        finally:
            for task_id in picked.keys() - {each.task_id for each in claimed}:
                # Not due, or another's: either way somebody will look again.
                self._lines.release(picked[task_id])
        for each in claimed:
            attempt = asyncio.create_task(self._attend(each))
            self._attempts[attempt] = each
            attempt.add_done_callback(self._attempts.pop)

    def _pick(self) -> dict[str, str]:
        """Those that have a place now, with their sinks; of the others no more are kept in mind than are fair."""
        now = asyncio.get_running_loop().time()
        picked: dict[str, str] = {}
        kept: dict[str, str | None] = {}
        of_sink: Counter[str] = Counter()
        of_submitter: Counter[str] = Counter()
        for task_id, sink in _in_turns(self._noted):
            submitter = submitter_of(sink)
            if self._lines.take(sink, now):
                picked[task_id] = sink
            elif of_sink[sink] < EACH and of_submitter[submitter] < MAX_NOTED_OF_ONE:
                kept[task_id] = sink
                of_sink[sink] += 1
                of_submitter[submitter] += 1
        self._noted = kept
        return picked

    async def _attend(self, claimed: Claimed) -> None:
        try:
            ended = await self._courier.attend(claimed)
            if ended.alive is not None:
                now = asyncio.get_running_loop().time()
                self._lines.ended(claimed.sink, now, random.random(), alive=ended.alive)  # noqa: S311 - jitter
            if ended.is_due:
                self._noted.setdefault(claimed.task_id, claimed.sink)
        except StorageUnavailable as error:
            logger.warning("the database is away: a webhook will be sent again", extra={"cause": str(error)[:200]})
        except Conflict:
            logger.info("a delivery was taken over meanwhile", extra={"task_id": claimed.task_id})
        except Exception:
            logger.exception("a webhook failed", extra={"task_id": claimed.task_id})
        finally:
            self._lines.release(claimed.sink)
            self._wake.set()


def _in_turns(noted: dict[str, str | None]) -> list[tuple[str, str]]:
    """The deliveries so that each sink comes up as often as the others: the first of each, then the second of each."""
    seen: dict[str, int] = {}
    turns: list[tuple[int, str, str]] = []
    for task_id, sink in noted.items():
        if sink is not None:
            seen[sink] = seen.get(sink, 0) + 1
            turns.append((seen[sink], task_id, sink))
    turns.sort(key=lambda turn: turn[0])
    return [(task_id, sink) for _, task_id, sink in turns]
