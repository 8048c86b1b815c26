"""Submitters: each has one piece of work done, whatever happens, and notes what it was told."""

import asyncio
import json
import random
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from app.delivery.following import Mark
from app.execution.cancellation import AlreadyOver
from app.protocol.history import Item
from app.protocol.task import Task
from app.protocol.times import format_time
from app.storage.errors import StorageUnavailable
from app.submission.idempotency import KeyReused
from app.submission.outcomes import InvalidTask
from tests.faults.evidence import Acknowledgements, Evidence, Received
from tests.simulation.handlers import draw_script
from tests.simulation.network import Network, Unanswered
from tests.simulation.node import Node

PAUSE_S = 0.1


class Clock(Protocol):
    """The submitters' clock is right."""

    def __call__(self) -> datetime:
        """Now."""


@dataclass
class Notes:
    """What one submitter was told, and what it said itself."""

    message_id: str
    task_ids: set[str] = field(default_factory=set)
    received: list[Item] = field(default_factory=list)
    acknowledgements: Acknowledgements = field(default_factory=Acknowledgements)
    taken_twice: bool = False

    def testify(self, seen: Evidence) -> None:
        """Adds all of it to what is known."""
        seen.accepted |= self.task_ids
        seen.named[self.message_id] = self.task_ids
        seen.taken_twice |= {self.message_id} if self.taken_twice else set()
        for task_id in self.task_ids:
            seen.acknowledgements[task_id] = self.acknowledgements
            messages = [(item.sequence, item.hash) for item in self.received]
            over = any(item.status.terminal for item in self.received)
            seen.received.append(Received(self.message_id, task_id, messages, to_the_end=over))


class Submitter:
    """One submitter with one message."""

    def __init__(self, name: str, network: Network, dice: random.Random, now: Clock) -> None:
        self.notes = Notes(name)
        self._name = name
        self._network = network
        self._dice = dice
        self._now = now

    async def live(self, within_s: float) -> None:
        """Begins at some moment within so many seconds; done when the task's last message has been received."""
        await asyncio.sleep(self._dice.uniform(0, within_s))
        message = self._message()
        twins = 2 if self._dice.random() < 0.15 else 1
        await asyncio.gather(*(self._submit(message) for _ in range(twins)))
        task_id = min(self.notes.task_ids)
        if self._dice.random() < 0.1:
            await self._reuse(message)
        if self._dice.random() < 0.2:
            await asyncio.gather(self._cancel(task_id), self._follow(task_id))
        else:
            await self._follow(task_id)

    # -- submitting -----------------------------------------------------------------------------------

    def _message(self) -> dict[str, Any]:
        dice = self._dice
        body: dict[str, Any] = {"priority": dice.randint(0, 2)}
        if dice.random() < 0.15:
            body["deadline"] = format_time(self._now() + timedelta(seconds=dice.uniform(0.3, 6)))
        body["task_specification"] = {
            "type": "scripted",
            "parameters": draw_script(dice),
            "resources": {"cpu": dice.choice((0.5, 1, 1, 2, 3))},
            "timeout_s": dice.choice((0.5, 2, 4)),
            "retry": {"max_attempts": dice.randint(1, 4), "initial_s": 0.1, "max_s": 0.5},
        }
        if dice.random() < 0.05:
            body["nonsense"] = True
        header = {"message_id": self._name, "timestamp": format_time(self._now())}
        return {"type": "submit_task", "header": header, "body": body}

    async def _submit(self, message: dict[str, Any]) -> None:
        """Until it is accepted; what is not acceptable is corrected."""
        body = message["body"]
        while True:
            raw = json.dumps({**message, "body": body}).encode()
            try:
                submission = await self._network.ask(lambda node, raw=raw: node.submission.submit(raw, "alice"))  # type: ignore[misc]
            except Unanswered:
                await asyncio.sleep(self._dice.uniform(0, PAUSE_S))
            except InvalidTask:
                body = {name: value for name, value in body.items() if name not in ("deadline", "nonsense")}
            except KeyReused as known:
                # Its twin was corrected another way, and came first.
                self.notes.task_ids.add(known.task_id)
                return
            else:
                self.notes.task_ids.add(submission.task_id)
                return

    async def _reuse(self, message: dict[str, Any]) -> None:
        """The same id with other content is refused."""
        other = {**message, "body": {**message["body"], "priority": 7}}
        for name in ("deadline", "nonsense"):
            other["body"].pop(name, None)
        raw = json.dumps(other).encode()
        try:
            await self._network.ask(lambda node: node.submission.submit(raw, "alice"))
            self.notes.taken_twice = True
        except (Unanswered, KeyReused):
            pass

    # -- wishes -----------------------------------------------------------------------------------------

    async def _cancel(self, task_id: str) -> None:
        await asyncio.sleep(self._dice.choice((0.0, 0.01, 0.3, 1.0)))

        async def cancel(node: Node) -> None:
            await node.cancellation.cancel(await _task(node, task_id), "alice")

        while True:
            try:
                await self._network.ask(cancel)
                return
            except AlreadyOver:
                return
            except Unanswered:
                await asyncio.sleep(PAUSE_S)

    async def _acknowledge(self, task_id: str, sequence: int) -> None:
        self.notes.acknowledgements.sent.add(sequence)

        async def acknowledge(node: Node) -> None:
            await node.acknowledgements.acknowledge(await _task(node, task_id), sequence)

        try:
            await self._network.ask(acknowledge)
            self.notes.acknowledgements.answered.add(sequence)
        except Unanswered:
            pass

    # -- the stream -------------------------------------------------------------------------------------

    async def _follow(self, task_id: str) -> None:
        """Reads to the last message, now here, now there, and acknowledges now and then."""
        received = self.notes.received

        async def read(node: Node) -> None:
            task, after = await _task(node, task_id), received[-1].sequence if received else 0
            events = node.follower.follow(
                task, after, expires_at=float("inf"), draining=lambda: not node.ready, revoked=lambda: False
            )
            async with aclosing(events):
                async for event in events:
                    if not isinstance(event, Mark):
                        received.append(event)

        while not (received and received[-1].status.terminal):
            try:
                await self._network.ask(read, patience_s=self._dice.choice((0.3, 2.0, 6.0)))
            except Unanswered:
                await asyncio.sleep(self._dice.uniform(0, PAUSE_S))
            if received and self._dice.random() < 0.3:
                await self._acknowledge(task_id, received[-1].sequence)


async def _task(node: Node, task_id: str) -> Task:
    """As the door of the service reads it before it does anything. One that is not there is a 404, or later news."""
    task = await node.reader.get(task_id)
    if task is None:
        raise StorageUnavailable(f"404: {task_id}")
    return task
