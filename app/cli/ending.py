"""The end of a service that was told to stop: red first, then the drain, then the connections.

    told -> /readyz is red -> notice -> drain -> held answers end -> connections close

Until the last step everything is answered: a load balancer sees the red light, submissions that still come are stored
for the other nodes (or for the next start), and clients see their tasks come to an end.
"""

import asyncio
import logging
from typing import Any

MOMENT_S = 0.1

logger = logging.getLogger("app.cli.serve")


class Ending:
    """See the module's docstring. `state` holds the service while it runs; `notice_s` in seconds."""

    def __init__(self, state: Any, notice_s: float) -> None:
        self._state = state
        self._notice_s = notice_s
        self._draining: asyncio.Task[None] | None = None

    def announce(self) -> None:
        """The service is no longer ready. May be called in a signal's handler."""
        service = getattr(self._state, "service", None)
        if service is not None:
            service.ready = False

    async def over(self) -> bool:
        """Whether the connections may be closed. The first call begins notice and drain; each waits a moment."""
        if self._draining is None:
            self.announce()
            self._draining = asyncio.create_task(self._drain())
        await asyncio.wait({self._draining}, timeout=MOMENT_S)
        return self._draining.done()

    async def _drain(self) -> None:
        logger.info("stopping: not ready any more; what runs gets time to finish")
        await asyncio.sleep(self._notice_s)
        try:
            await self._state.service.drain()
        except Exception:
            # The end comes all the same, and what is still held is rescued when its lease runs out.
            logger.exception("the drain failed")
        self._state.service.closing = True
