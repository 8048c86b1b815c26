"""A deterministic event loop: time passes only when there is nothing left to do, and processes freeze and die.

All nodes of a simulated world share it. What a process has set going carries its name in a context variable, so that
`kill` can do what SIGKILL does: nothing of the process ever runs again, not even its `finally`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")
Callback = Callable[..., object]


class Process:
    """Something that runs in the world and may freeze or die. `clock_s` is how far its wall clock is ahead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.clock_s = 0.0
        self.backlog: list[asyncio.Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.context = copy_context()
        self.context.run(CURRENT.set, self)


CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)
"""The process whose code is running; None for the world itself."""


class EndlessRun(AssertionError):
    """The world does not come to rest: something goes round in a circle without time passing."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """See the module's docstring. As much of an event loop as plain asyncio code needs: no threads, no sockets."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._now = 0.0
        self._numbers = count()
        self._ready: deque[tuple[Process | None, asyncio.Handle]] = deque()
        self._timers: list[tuple[float, int, Process | None, asyncio.TimerHandle]] = []
        self._open = True

    # -- what asyncio asks for ----------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the world began."""
        return self._now

    def call_soon(  # type: ignore[override]  # the library's own spelling needs a newer Python
        self, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Runs it next, behind what is to run already."""
        handle = asyncio.Handle(callback, args, self, context)
        if self._open:
            self._ready.append((_owner(context), handle))
        return handle

    def call_later(  # type: ignore[override]  # the same
        self, delay: float, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Runs it after so many seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # the same
        self, when: float, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Runs it at a time of this loop."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if self._open:
            heappush(self._timers, (when, next(self._numbers), _owner(context), handle))
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        """A task of the process that makes it, or of the one whose context is given."""
        if not self._open:
            coro.close()
            raise GeneratorExit  # as every coroutine that is taken down hears it
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, context=context)
        owner = _owner(context)
        if owner is not None:
            # Held for as long as the world stands: one that is forgotten would run its `finally`.
            owner.tasks.append(task)
        return task

    def get_debug(self) -> bool:
        """No."""
        return False

    def is_running(self) -> bool:
        """Always."""
        return True

    def is_closed(self) -> bool:
        """Never, as far as its users are concerned."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody has caught is a failure of the run."""
        if self._open:
            self.failures.append(f"{context['message']}: {context.get('exception')!r}")

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        """Part of what TimerHandle asks of its loop; a cancelled one is passed over when its time comes."""

    # -- what the world does --------------------------------------------------------------------------

    def run_while(self, condition: Callable[[], bool], *, until_s: float, most_steps: int = 200_000) -> None:
        """Runs for as long as the condition holds whenever time passes, at most until a time. Raises EndlessRun."""
        asyncio._set_running_loop(self)
        try:
            for _ in range(most_steps):
                if self._ready:
                    self._step()
                elif not condition() or not self._advance(until_s):
                    return
        finally:
            asyncio._set_running_loop(None)
        raise EndlessRun(f"{most_steps} steps, and it is {self._now:.3f} s only")

    def kill(self, process: Process) -> None:
        """As kill -9."""
        process.alive = False
        process.backlog.clear()

    def freeze(self, process: Process) -> None:
        """As kill -STOP."""
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """As kill -CONT: what has become due meanwhile runs at once."""
        process.frozen = False
        backlog, process.backlog = process.backlog, []
        self._ready.extend((process, handle) for handle in backlog)

    def end(self, processes: list[Process]) -> None:
        """The end of the world. What still stands is taken down without being heard."""
        self._open = False
        self._ready.clear()
        self._timers.clear()
        asyncio._set_running_loop(self)
        try:
            for process in processes:
                for task in process.tasks:
                    coroutine = task.get_coro()
                    with contextlib.suppress(BaseException):
                        assert isinstance(coroutine, Coroutine)
                        coroutine.close()
        finally:
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        """One callback. Those of the dead are dropped, those of the frozen kept."""
        owner, handle = self._ready.popleft()
        if handle.cancelled() or (owner is not None and not owner.alive):
            return
        if owner is not None and owner.frozen:
            owner.backlog.append(handle)
        else:
            handle._run()

    def _advance(self, until_s: float) -> bool:
        """The passing of time to the next timer; False where there is none before `until_s`."""
        timers = self._timers
        while timers and timers[0][3].cancelled():
            heappop(timers)
        if not timers or timers[0][0] > until_s:
            self._now = until_s
            return False
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            _, _, owner, handle = heappop(timers)
            self._ready.append((owner, handle))
        return True


def _owner(context: Context | None) -> Process | None:
    return CURRENT.get() if context is None else context.get(CURRENT)
