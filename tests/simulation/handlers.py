"""What handlers do in the simulated world, and the ledger of what they did.

A task carries its script in its parameters, one entry an attempt (the last one for all further): what the attempt does
and for how long. Scripts are drawn by the submitter, so that a repeated run does the same.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from app.execution.backends.backend import Attempt, Failed, Outcome, Stopped, Succeeded
from app.protocol.reasons import Reason
from app.protocol.resources import Amounts, Resources
from app.task_types.context import TaskContext
from app.task_types.definition import task_type
from app.task_types.registry import Registry

Act = Literal["succeed", "fail", "give up", "hang", "linger", "kill the node"]
GRACE_S = 0.5


class Part(BaseModel):
    """One attempt: what it does after so many seconds, with how many reports of progress on the way."""

    act: Act = "succeed"
    seconds: float = 0.0
    reports: int = 0


class Script(BaseModel):
    """What a task does, attempt by attempt."""

    parts: list[Part]

    def part(self, attempt: int) -> Part:
        """That of the attempt with this number, from 1."""
        return self.parts[min(attempt, len(self.parts)) - 1]


@task_type("scripted", parameters=Script, resources=Resources(cpu=1), timeout_s=4)
async def scripted(parameters: Script, context: TaskContext) -> None:
    """Does what its script says."""
    raise AssertionError("the simulated backend plays the script itself")


def simulated_registry() -> Registry:
    """The one kind of task there is."""
    registry = Registry()
    registry.add(scripted.__task_type__)  # type: ignore[attr-defined]
    return registry


@dataclass
class Ledger:
    """The side effects of all attempts in the world: they survive everything."""

    runs: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    begun: Callable[[str, int], bool] = lambda _task_id, _attempt: True
    """Whether the database knows that this attempt has begun."""

    def run(self, attempt: Attempt) -> None:
        """An attempt does what it does. Its start has to be durable by then."""
        self.runs[attempt.task_id] += 1
        if not self.begun(attempt.task_id, attempt.number):
            self.faults.append(
                f"I5: attempt {attempt.number} ran before its start was durable (task {attempt.task_id})"
            )


class SimulatedBackend:
    """A backend that plays scripts. `die` ends its node."""

    def __init__(self, ledger: Ledger, capacity: Amounts, dice: random.Random, die: Callable[[], None]) -> None:
        self._ledger = ledger
        self._capacity = capacity
        self._dice = dice
        self._die = die
        self._held: Counter[str] = Counter()

    async def start(self) -> None:
        """There is nothing to make ready."""

    async def close(self) -> None:
        """There is nothing to end."""

    async def run(self, attempt: Attempt) -> Outcome:
        """One attempt from its start to its outcome."""
        stopped: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        attempt.stop.listen(stopped.set_result)
        amounts = attempt.allocation.amounts()
        self._hold(attempt.task_id, amounts)
        try:
            self._ledger.run(attempt)
            return await self._play(attempt, Script.model_validate(attempt.parameters), stopped)
        finally:
            attempt.stop.ignore()
            self._held.subtract(amounts)

    def _hold(self, task_id: str, amounts: Amounts) -> None:
        self._held.update(amounts)
        if any(amount > self._capacity.get(unit, 0) for unit, amount in self._held.items()):
            self._ledger.faults.append(f"I8: {dict(self._held)} in use of {self._capacity} (task {task_id})")

    async def _play(self, attempt: Attempt, script: Script, stopped: "asyncio.Future[Reason]") -> Outcome:
        part = script.part(attempt.number)
        for report in range(part.reports):
            if await _waited(stopped, part.seconds / (part.reports + 1)):
                return await self._stop(part, stopped)
            attempt.on_progress((report + 1) / (part.reports + 1), {"step": report + 1})
        seconds = 3600.0 if part.act in ("hang", "linger") else part.seconds / (part.reports + 1)
        if await _waited(stopped, seconds):
            return await self._stop(part, stopped)
        return self._end(part)

    async def _stop(self, part: Part, stopped: "asyncio.Future[Reason]") -> Outcome:
        """A lingering handler takes its grace time to the end."""
        if part.act == "linger":
            await asyncio.sleep(GRACE_S)
        return Stopped(stopped.result(), {"cpu_s": 0.01})

    def _end(self, part: Part) -> Outcome:
        used = {"cpu_s": part.seconds}
        match part.act:
            case "fail":
                return Failed(Reason.EXECUTION_ERROR, {"kind": "Error", "message": "as written"}, False, used)
            case "give up":
                return Failed(Reason.EXECUTION_ERROR, {"kind": "PermanentError", "message": "never"}, True, used)
            case "kill the node":
                self._die()
                return Succeeded('"never heard"', used)
            case _:
                return Succeeded('{"done": true}', used)


async def _waited(stopped: "asyncio.Future[Reason]", seconds: float) -> bool:
    """Waits so long; answers whether the attempt was stopped meanwhile."""
    await asyncio.wait([stopped], timeout=seconds)
    return stopped.done()


ACTS: dict[Act, int] = {"succeed": 60, "fail": 15, "give up": 5, "hang": 8, "linger": 5, "kill the node": 4}
"""How often a script has each, in about a hundred."""


def draw_script(dice: random.Random) -> dict[str, Any]:
    """Some script, most of them short and good."""
    attempts = dice.choice((1, 1, 1, 2, 3))
    acts = dice.choices(list(ACTS), list(ACTS.values()), k=attempts)
    seconds, reports = (0.0, 0.001, 0.05, 0.3, 1.5), (0, 0, 0, 2)
    return {"parts": [{"act": act, "seconds": dice.choice(seconds), "reports": dice.choice(reports)} for act in acts]}
