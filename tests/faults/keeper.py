"""Whoever watches over a service that dies again and again: it is started anew each time, with another seed."""

import asyncio
import random
import threading
import time
from collections.abc import Callable

from tests.support.service import Service, ServiceDied
from tests.support.waiting import NotInTime

LOOK_S = 0.05


class Keeper:
    """Starts the service again as often as it dies; in a thread beside the test.

    `disturb` is done to it every `every_s` seconds of its life: kill it, tell it to stop.
    """

    def __init__(
        self,
        service: Service,
        draw: random.Random,
        *,
        disturb: Callable[[Service], object] | None = None,
        every_s: float = 1.0,
    ) -> None:
        self.deaths = 0
        self._service = service
        self._draw = draw
        self._disturb = disturb
        self._every_s = every_s
        self._disturb_at = time.monotonic() + every_s
        self._over = False
        self._task = asyncio.create_task(asyncio.to_thread(self._keep))

    def _keep(self) -> None:
        while not self._over:
            if self._service._process is None or self._service._process.poll() is not None:
                self.deaths += 1
                self._start()
                self._disturb_at = time.monotonic() + self._every_s
            elif self._disturb is not None and time.monotonic() >= self._disturb_at:
                self._disturb(self._service)
            else:
                threading.Event().wait(LOOK_S)

    def _start(self) -> None:
        if self._service._process is not None:
            self._service.wait()
        self._service.environment["TASK_EXECUTOR_FAULT_SEED"] = str(self._draw.randrange(2**31))
        try:
            self._service.start()
        except (ServiceDied, NotInTime):
            # It fell over a fault point on its way up.
            if self._service._process is not None and self._service._process.poll() is None:
                self._service.kill()

    async def stop(self) -> None:
        """Lets it be as it is."""
        self._over = True
        await self._task
