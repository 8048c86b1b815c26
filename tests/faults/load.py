"""The load of the fault tests: submitters that come at a rate whatever happens, and readers of streams.

Whoever gets no answer, or is told to come again, repeats the same message at any replica: that is the client's own
retry, which the service's promises count on. What was seen goes into the evidence.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.delivery.streams import Reading, events_of
from tests.e2e.client import message
from tests.faults.evidence import Evidence, Received

PATIENCE_S = 60.0
"""A submission that was not accepted within this time has failed."""

MOST_OPEN = 400
"""Submissions under way at once; beyond them the load waits, and says so."""

ENDS = {"TaskCompleted", "TaskFailed", "TaskRejected"}


class Load:
    """`rate` submissions a second, a tenth of them with three reports of progress, and `readers` of streams."""

    def __init__(self, clients: Sequence[httpx.AsyncClient], ledger: Path, rate: float, draw: random.Random) -> None:
        self.seen = Evidence()
        self.failed: list[str] = []
        self.tries: Counter[int] = Counter()
        self.latencies_s: list[float] = []
        self.held_back = 0
        self._clients = clients
        self._ledger = ledger
        self._rate = rate
        self._draw = draw
        self._numbers = itertools.count()
        self._stopping = asyncio.Event()
        self._recent: list[str] = []

    async def run(self, readers: int = 10) -> None:
        """Until `stop`, and until everything that was begun has its answer."""
        reading = [asyncio.create_task(self._read_streams(number)) for number in range(readers)]
        open_: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._stopping.is_set():
            due += 1 / self._rate
            await self._pause(due - loop.time())
            if len(open_) >= MOST_OPEN:
                self.held_back += 1
                continue
            task = asyncio.create_task(self._submit(next(self._numbers)))
            open_.add(task)
            task.add_done_callback(open_.discard)
        await asyncio.gather(*open_, *reading)

    def stop(self) -> None:
        """Nothing new is submitted."""
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        """So long, or until the load stops."""
        if seconds > 0 and not self._stopping.is_set():
            await asyncio.wait([asyncio.ensure_future(self._stopping.wait())], timeout=seconds)

    def _anyone(self) -> httpx.AsyncClient:
        return self._draw.choice(self._clients)

    # -- submitting -----------------------------------------------------------------------------------

    async def _submit(self, number: int) -> None:
        parameters: dict[str, object] = {"ledger": str(self._ledger)}
        if number % 10 == 0:
            parameters.update(seconds=0.3, steps=3)
        message_id = f"load-{number}"
        sent = message("recorded", parameters, message_id=message_id)
        began = time.monotonic()
        for tries in itertools.count(1):
            task_id, wait_s = await self._try(sent)
            if task_id is not None:
                self.seen.named.setdefault(message_id, set()).add(task_id)
                self.seen.accepted.add(task_id)
                self._recent = [*self._recent[-50:], task_id]
                self.tries[tries] += 1
                self.latencies_s.append(time.monotonic() - began)
                return
            if time.monotonic() - began > PATIENCE_S:
                self.failed.append(message_id)
                return
            await asyncio.sleep(wait_s * self._draw.uniform(0.5, 1))

    async def _try(self, sent: dict[str, object]) -> tuple[str | None, float]:
        """The task's id, or how long to wait before the next try, in seconds."""
        try:
            response = await self._anyone().post("/v1/tasks", json=sent)
        except httpx.TransportError:
            return None, 0.1
        advice = response.headers.get("retry-after")
        self.seen.answers[response.status_code, advice is not None] += 1
        if response.status_code in (200, 202):
            return str(response.json()["body"]["details"]["task_id"]), 0.0
        assert response.status_code == httpx.codes.SERVICE_UNAVAILABLE, response.text
        return None, min(float(advice or 1), 1.0)

    # -- reading --------------------------------------------------------------------------------------

    async def _read_streams(self, reader: int) -> None:
        """The stream of one recent task after another, each to its end."""
        while not self._stopping.is_set():
            if self._recent:
                received = Received(f"reader-{reader}", self._draw.choice(self._recent))
                await self._read_to_the_end(received)
                self.seen.received.append(received)
                await self._acknowledge(received)
            await self._pause(1.0)

    async def _read_to_the_end(self, received: Received) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not received.to_the_end and time.monotonic() < deadline:
            try:
                await self._read(received)
            except httpx.TransportError:
                await asyncio.sleep(0.1)

    async def _read(self, received: Received) -> None:
        """One connection, which breaks off wherever it does."""
        headers = {"Last-Event-ID": str(received.messages[-1][0])} if received.messages else {}
        url = f"/v1/tasks/{received.task_id}/events"
        async with self._anyone().stream("GET", url, headers=headers, timeout=10) as response:
            self.seen.answers[response.status_code, "retry-after" in response.headers] += 1
            if response.status_code != httpx.codes.OK:
                await asyncio.sleep(0.1)
                return
            async for event in events_of(response, Reading()):
                received.messages.append((int(event.id), event.item["hash"]))
                received.to_the_end = received.to_the_end or event.name in ENDS

    async def _acknowledge(self, received: Received) -> None:
        """The last message, in one of two cases."""
        if not received.messages or self._draw.random() < 0.5:
            return
        word, sequence = self.seen.acknowledged_by(received.task_id), received.messages[-1][0]
        word.sent.add(sequence)
        try:
            response = await self._anyone().post(
                f"/v1/tasks/{received.task_id}/acknowledgements", json={"sequence": sequence}
            )
        except httpx.TransportError:
            return
        self.seen.answers[response.status_code, "retry-after" in response.headers] += 1
        if response.status_code == httpx.codes.OK:
            word.answered.add(sequence)
