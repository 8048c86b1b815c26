"""A load that comes by every fault point: submitters, executors outside and onlookers who use every door at once."""

import asyncio
import itertools
import random
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.client import OVER, message
from tests.support.service import Service

PAUSE_S = 0.02
OPEN_AT_ONCE = 8
"""Tasks of each submitter that are not over."""

ACTS_AGAIN = {"max_attempts": 100, "max_s": 0.2}


@dataclass
class Visitors:
    """They call `busy`, whose fault points are armed, and submit to the `other` one too.

    The messages of their tasks are sent to `callback`, if there is one.

    `accepted` are the tasks that they made, `cancelled` those of them that they have asked to be cancelled.
    """

    busy: Service
    other: Service
    draw: random.Random
    callback: str | None = None
    accepted: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def visit(self, stopping: asyncio.Event) -> None:
        """Until told to stop, and then until everything that was begun is over."""
        async with (
            self.busy.client(timeout=20) as submitter,
            self.other.client(timeout=20) as elsewhere,
            self.busy.client("printer", "executor", timeout=20) as executor,
        ):
            executing = asyncio.create_task(self._execute_on(executor))
            await asyncio.gather(*(self._submit_on((submitter, elsewhere), stopping) for _ in range(4)))
            for task_id in sorted(self.accepted):
                await self._until_over(submitter, task_id)
            executing.cancel()
            await asyncio.wait([executing])

    async def _submit_on(self, clients: tuple[httpx.AsyncClient, httpx.AsyncClient], stopping: asyncio.Event) -> None:
        open_: deque[str] = deque()
        while not stopping.is_set():
            if len(open_) >= OPEN_AT_ONCE:
                await self._until_over(clients[0], open_.popleft())
            sent = self._message()
            answer = await until_answered(self.draw.choice(clients), "POST", "/v1/tasks", json=sent)
            task_id = answer.json()["body"]["details"]["task_id"]
            self.accepted.add(task_id)
            open_.append(task_id)
            await self._look_at(clients[0], task_id)
            await asyncio.sleep(self.draw.uniform(0, PAUSE_S))

    async def _until_over(self, client: httpx.AsyncClient, task_id: str) -> None:
        """Waits for the end of a task, so that no more comes than is worked off."""
        status = ""
        while status not in OVER:
            answer = await until_answered(client, "GET", f"/v1/tasks/{task_id}", headers={"Prefer": "wait=1"})
            status = answer.json()["body"]["status"]

    def _message(self) -> dict[str, Any]:
        options: dict[str, Any] = {"message_id": f"visit-{next(self._numbers)}", "retry": ACTS_AGAIN}
        if self.callback is not None:
            options["callback"] = {"url": self.callback}
        if self.draw.random() < 0.2:
            return message("print", {"pages": 1}, **options)
        return message("sleep", {"seconds": self.draw.choice((0.02, 0.3))}, **options)

    async def _look_at(self, client: httpx.AsyncClient, task_id: str) -> None:
        """Everything that a submitter may ask of a task, each now and then."""
        acts = [
            ("GET", "", {}),
            ("GET", "/explanation", {}),
            ("GET", "/messages", {}),
            ("POST", "/acknowledgements", {"json": {"sequence": 3}}),
            ("POST", "/cancel", {}),
        ]
        method, path, options = self.draw.choice(acts)
        if path == "/cancel":
            self.cancelled.add(task_id)
        await until_answered(client, method, f"/v1/tasks/{task_id}{path}", **options)

    async def _execute_on(self, client: httpx.AsyncClient) -> None:
        """Claims, keeps and completes; what is lost on the way is rescued."""
        while True:
            claimed = await until_answered(client, "POST", "/v1/executions/claim", json={"limit": 5})
            for execution in claimed.json()["executions"]:
                path = f"/v1/executions/{execution['execution_id']}"
                await until_answered(client, "POST", f"{path}/heartbeat")
                await until_answered(client, "POST", f"{path}/complete", json={"result": 1})
            await asyncio.sleep(PAUSE_S)


async def until_answered(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response:
    """The answer, whoever had to be asked how often; nothing but 503 may stand in its way."""
    while True:
        with suppress(httpx.TransportError):
            response = await client.request(method, path, **options)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                assert response.status_code in (200, 202, 409), response.text
                return response
        await asyncio.sleep(PAUSE_S)
