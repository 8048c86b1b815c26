"""A service under observation while its database is away: what it answers, how soon, and how soon it is back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from tests.e2e.client import message, submit, until_over
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.support.service import Service
from tests.support.waiting import eventually

IN_TIME_S = 3.0
"""Within a second, where nothing else keeps the machine busy."""

Call = tuple[str, str, dict[str, Any]]


@dataclass
class Answer:
    """What came back, and after how many seconds."""

    call: str
    response: httpx.Response
    seconds: float


@dataclass
class Observed:
    """One service, a task that is over and one that failed there, and everything that was seen."""

    service: Service
    client: httpx.AsyncClient
    over: str
    running: str
    seen: Evidence = field(default_factory=Evidence)
    in_doubt: list[dict[str, Any]] = field(default_factory=list)

    def writes(self) -> list[Call]:
        """A call of every kind that has to write."""
        one, *many = (message("echo", {"number": number}) for number in range(3))
        self.in_doubt += [one, *many]
        return [
            ("POST", "/v1/tasks", {"json": one}),
            ("POST", "/v1/tasks/batch", {"json": {"messages": many}}),
            ("POST", f"/v1/tasks/{self.running}/cancel", {}),
            ("POST", f"/v1/tasks/{self.running}/acknowledgements", {"json": {"sequence": 3}}),
            ("POST", f"/v1/tasks/{self.over}/acknowledgements", {"json": {"sequence": 5}}),
        ]

    def reads(self) -> list[Call]:
        """A call of every kind that reads."""
        return [
            ("GET", f"/v1/tasks/{self.over}", {}),
            ("GET", f"/v1/tasks/{self.running}", {"headers": {"Prefer": "wait=30"}}),
            ("GET", "/v1/tasks", {}),
            ("GET", f"/v1/tasks/{self.over}/messages", {}),
            ("GET", f"/v1/tasks/{self.over}/result", {}),
            ("GET", f"/v1/tasks/{self.running}/events", {}),
            ("POST", "/v1/tasks?validate_only=true", {"json": message("echo")}),
            ("GET", "/v1/resources", {}),
        ]

    async def ask(self, calls: list[Call]) -> list[Answer]:
        """All of these calls at once."""
        return list(await asyncio.gather(*(self._ask(call) for call in calls)))

    async def _ask(self, call: Call) -> Answer:
        method, path, options = call
        begin = time.monotonic()
        response = await self.client.request(method, path, **options)
        return Answer(f"{method} {path}", response, time.monotonic() - begin)

    async def expect_refusals(self, calls: list[Call]) -> float:
        """Each of them is answered 503 in time; answers how long the slowest took."""
        answers = await self.ask([*calls, ("GET", "/readyz", {})])
        for answer in answers:
            assert answer.response.status_code == 503, f"{answer.call}: {answer.response.text}"
            assert answer.response.headers["retry-after"] == "1", answer.call
            assert answer.response.headers["content-type"] == "application/problem+json", answer.call
            assert answer.response.json()["type"] == "urn:task-executor:problem:database-unavailable"
            assert answer.seconds < IN_TIME_S, f"{answer.call} took {answer.seconds:.1f} s"
        [alive] = await self.ask([("GET", "/livez", {})])
        assert alive.response.status_code == 200
        return max(answer.seconds for answer in answers)

    async def until_back(self) -> float:
        """Waits until a message is taken and the service is ready; answers how long that took."""
        begin = time.monotonic()

        async def taken() -> bool:
            response = await self.client.post("/v1/tasks", json=message("echo"))
            return response.status_code == 202

        async def ready() -> bool:
            return (await self.client.get("/readyz")).status_code == 200

        await eventually(taken, "a message is taken", within_s=20)
        await eventually(ready, "ready", within_s=20)
        return time.monotonic() - begin

    async def settle(self, database_url: str) -> None:
        """Repeats what is in doubt, waits for the end of every task, and checks everything."""
        for sent in self.in_doubt:
            response = await self.client.post("/v1/tasks", json=sent)
            assert response.status_code in (200, 202), response.text
            self.seen.accepted.add(response.json()["body"]["details"]["task_id"])
        await self.client.post(f"/v1/tasks/{self.running}/cancel")
        for task_id in [*self.seen.accepted, self.running]:
            await until_over(self.client, task_id)
        async with looking_into(database_url) as connection:
            await until_at_rest(connection)
            await read_database(self.seen, connection)
            doubled = await connection.fetch(
                "SELECT message_id FROM tasks WHERE state <> 'Rejected' GROUP BY message_id HAVING count(*) > 1"
            )
        assert doubled == []
        assert violations(self.seen) == []
        response = await self.client.get("/v1/resources")
        assert response.status_code == 200, response.text
        assert all(amount == 0 for amount in response.json()["allocated"].values()), response.text
        assert "Traceback" not in self.service.log


async def until_at_rest(connection: asyncpg.Connection) -> None:
    """Waits until every task is over."""

    async def at_rest() -> bool:
        return not await connection.fetch("SELECT 1 FROM tasks WHERE finished_at IS NULL LIMIT 1")

    await eventually(at_rest, "every task over", within_s=60)


@asynccontextmanager
async def observed(folder: Path, database_url: str, **settings: str) -> AsyncIterator[Observed]:
    """A service on this database, with a task that is over and one that runs."""
    service = Service(folder, database_url, {"lease_s": "4", "cancel_grace_s": "0.2", "drain_s": "1", **settings})
    await asyncio.to_thread(service.start)
    # Beside this loop, in which a proxy may be at work.
    await asyncio.to_thread(service.token)
    try:
        async with service.client() as client:
            over = await submit(client, "echo")
            running = await submit(client, "sleep", {"seconds": 600})
            await until_over(client, over)
            watch = Observed(service, client, over, running)
            watch.seen.accepted = {over, running}
            yield watch
    except BaseException:
        print(f"--- log of {service.url}\n{service.log[-20_000:]}")  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        await asyncio.to_thread(service.close)
