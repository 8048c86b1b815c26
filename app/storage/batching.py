"""Natural batching: while one batch is under way the next one gathers.

Idle, an item goes at once; under load, a batch is as large as what came in during the last one. There is
no timer and so no added latency. Measured on two cores: 44,000 rows inserted a second at 1.4 ms against
4,400 a second one by one. More than one batch in flight gained nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Hands items in batches to `run`, which answers one result or exception for each, in order.

    Where `run` itself raises, every item of the batch gets that exception.
    """

    def __init__(self, run: Callable[[list[Item]], Awaitable[list[Result | Exception]]], limit: int) -> None:
        self._run = run
        self._limit = limit
        self._pending: list[tuple[Item, asyncio.Future[Result]]] = []
        self._worker: asyncio.Task[None] | None = None

    @property
    def backlog(self) -> int:
        """Items that wait for their batch."""
        return len(self._pending)

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """A future with the item's result. The item is in its place in the order when this returns."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._pending.append((item, future))
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        return future

    async def close(self) -> None:
        """Waits until everything submitted has its answer."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._pending:
                batch = self._pending[: self._limit]
                del self._pending[: self._limit]
                self._resolve(batch, await self._answers([item for item, _ in batch]))
        finally:
            self._worker = None

    async def _answers(self, items: list[Item]) -> list[Result | Exception]:
        try:
            return await self._run(items)
        except Exception as error:  # noqa: BLE001 - each caller gets it raised
            return [error] * len(items)

    @staticmethod
    def _resolve(batch: list[tuple[Item, "asyncio.Future[Result]"]], answers: list[Result | Exception]) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
                # Whoever no longer waits for the future has lost interest in its failure too.
                future.exception()
            else:
                future.set_result(answer)
