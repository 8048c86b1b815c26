"""Runs plain handlers in supervised children, one attempt at a time in each.

Pool libraries break as a whole when their processes are killed, and threads cannot be stopped. Here every child
has a channel, a session and limits of its own, and is killed with all that it started and replaced, without
the others noticing. Children are started as new programs, never forked from the service, and given a
clean environment, as another user where the service is root and one is named. All of this contains faults; it is no
sandbox for hostile code.

What is not contained: where the guardian itself is killed with SIGKILL, processes that a handler forked (the children
themselves still die with it).
"""

import asyncio
import logging
import math
import os
from collections.abc import Sequence

from app.execution.backends.backend import Attempt, Failed, Outcome, Stopped
from app.execution.backends.child_process import ChildProcess
from app.execution.backends.child_user import ChildUser
from app.execution.backends.cpus import CpuSpread
from app.execution.backends.environment import Shape, importing, inherited
from app.execution.backends.nursery import Nursery
from app.protocol.reasons import Reason

MAX_ATTEMPTS = 1_000
MAX_GROWTH_MB = 256
"""A child is replaced after so many attempts, or when at rest it holds so much more memory than at its start."""

IDLE_S = 60.0
"""How long children beyond the warm ones are kept: starting one costs as much as hundreds of attempts."""

logger = logging.getLogger("app.execution")


class ProcessBackend:
    """See `Backend`.

    `modules` define the task types and are imported by each child. `warm` children stay ready when nothing runs.
    `variables` names environment variables that handlers see besides the usual ones; `user` is whom they run as, None
    for the service's own. As many children run as there are attempts; the Resource Manager bounds those.
    """

    def __init__(
        self,
        modules: Sequence[str],
        warm: int,
        cancel_grace_s: float,
        max_result_bytes: int,
        variables: Sequence[str] = (),
        user: ChildUser | None = None,
    ) -> None:
        self._modules = list(modules)
        self._warm = warm
        self._cancel_grace_s = cancel_grace_s
        self._max_result_bytes = max_result_bytes
        self._user = user
        self._environment = inherited(os.environ, variables)
        if user is not None:
            self._environment = user.seen_in(self._environment)
        self._cpus = CpuSpread(os.sched_getaffinity(0))
        self._nursery: Nursery | None = None
        self._idle: list[tuple[float, ChildProcess]] = []
        self._running: dict[int, tuple[Attempt, asyncio.Future[None]]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._warming: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Starts the guardian and the warm children, without waiting for the latter to be ready. Raises as `check`."""
        await asyncio.to_thread(self.check)
        await self._warm_up()

    def check(self) -> None:
        """Raises ChildUserError where children are to run as another user, and cannot."""
        if self._user is not None:
            self._user.check(importing(self._environment), self._modules)

    async def run(self, attempt: Attempt) -> Outcome:
        """One attempt from its start to its outcome."""
        if attempt.stop.reason is not None:
            return Stopped(attempt.stop.reason, {})
        if self._closing:
            return Stopped(Reason.EXECUTOR_LOST, {})
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running[id(attempt)] = (attempt, over)
        cpus = self._cpus.take(attempt.allocation.cpu)
        try:
            child = self._take(_shape(attempt)) or await self._start_child(_shape(attempt))
        except OSError as error:
            description = {"kind": "ProcessNotStarted", "message": f"no process can be started for the task: {error}"}
            return Failed(Reason.EXECUTION_ERROR, description, permanent=False, used={})
        else:
            try:
                return await child.run(attempt, cpus, self._cancel_grace_s)
            finally:
                self._give_back(child)
        finally:
            self._cpus.release(attempt.allocation.cpu, cpus)
            del self._running[id(attempt)]
            over.set_result(None)

    async def close(self) -> None:
        """Stops what still runs, with EXECUTOR_LOST, and ends every child and the guardian."""
        self._closing = True
        if self._sweep is not None:
            self._sweep.cancel()
        running = list(self._running.values())
        for attempt, _ in running:
            attempt.stop.set(Reason.EXECUTOR_LOST)
        await asyncio.gather(*(over for _, over in running))
        if self._warming is not None:
            await self._warming
        if self._nursery is not None:
            await self._nursery.close()
        self._idle.clear()

    async def _start_child(self, shape: Shape) -> ChildProcess:
        while self._nursery is None or self._nursery.lost:
            lost, self._nursery = self._nursery, Nursery(importing(self._environment), self._user)
            if lost is not None:
                logger.error("The guardian of the task processes was killed; another one is started")
                await lost.close()
        return await ChildProcess.start(self._nursery, shape, self._environment, self._modules, self._max_result_bytes)

    def _take(self, shape: Shape) -> ChildProcess | None:
        """The idle child of that shape that was used last: its caches are the warmest."""
        self._forget_dead()
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index][1].shape == shape:
                return self._idle.pop(index)[1]
        return None

    def _give_back(self, child: ChildProcess) -> None:
        if child.usable and not _worn(child):
            self._idle.append((asyncio.get_running_loop().time(), child))
            if self._sweep is None and len(self._idle) > self._warm:
                self._sweep_later()
            return
        child.process.kill()
        if self._warming is None or self._warming.done():
            self._warming = asyncio.get_running_loop().create_task(self._warm_up())

    async def _warm_up(self) -> None:
        self._forget_dead()
        try:
            while len(self._idle) < self._warm and not self._closing:
                child = await self._start_child(Shape())
                self._idle.insert(0, (asyncio.get_running_loop().time(), child))
        except OSError as error:
            # Attempts start their own children, and say so where that is not possible either.
            logger.warning("No task process can be started in advance: %s", error)

    def _forget_dead(self) -> None:
        self._idle = [(since, child) for since, child in self._idle if child.usable]

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(IDLE_S, self._retire_idle)

    def _retire_idle(self) -> None:
        """Ends the children beyond the warm ones that nobody has used for IDLE_S."""
        self._sweep = None
        before = asyncio.get_running_loop().time() - IDLE_S
        surplus = max(0, len(self._idle) - self._warm)
        for since, child in self._idle[:surplus]:
            if since <= before:
                child.usable = False
                child.process.kill()
        self._forget_dead()
        if len(self._idle) > self._warm:
            self._sweep_later()


def _shape(attempt: Attempt) -> Shape:
    threads = max(1, math.ceil(attempt.allocation.cpu))
    if attempt.allocation.gpu == 0:
        return Shape(threads, "")
    return Shape(threads, ",".join(attempt.gpu_ids) if attempt.gpu_ids else None)


def _worn(child: ChildProcess) -> bool:
    """Too old, or too fat at rest, to be kept."""
    if child.attempts >= MAX_ATTEMPTS:
        return True
    first, last = child.first_resting, child.resting
    return first is not None and last is not None and last.rss_mb - first.rss_mb > MAX_GROWTH_MB
