"""Many who want the same at once, over HTTP and at two replicas: one outcome, the same in every view."""

import asyncio
import json
import random
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.client import message, submit, until_over
from tests.faults.invariants import Evidence, looking_into, read_database, read_history, violations
from tests.support.service import Service

Start = Callable[..., Service]

TERMINAL = {"TaskCompleted", "TaskFailed"}


@pytest.mark.parametrize("keys", [3, pytest.param(200, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)])])
async def test_fifty_submissions_of_one_message_make_one_task(
    start_service: Start, database_url: str, keys: int
) -> None:
    services = [start_service(rate_limit="off") for _ in range(2)]
    async with services[0].client() as one, services[1].client() as two, looking_into(database_url) as connection:
        for key in range(keys):
            sent = message("echo", {"key": key}, message_id=f"key-{key}")
            answers = await asyncio.gather(*((one, two)[turn % 2].post("/v1/tasks", json=sent) for turn in range(50)))
            assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
            made = {answer.json()["body"]["details"]["task_id"] for answer in answers}
            assert len(made) == 1
            assert await connection.fetchval("SELECT count(*) FROM tasks WHERE message_id = $1", f"key-{key}") == 1
            other = await two.post("/v1/tasks", json=message("echo", {"key": "another"}, message_id=f"key-{key}"))
            assert other.status_code == 409


async def names_in_stream(client: httpx.AsyncClient, task_id: str) -> list[str]:
    """The names of all events, to the end of the stream."""
    async with client.stream("GET", f"/v1/tasks/{task_id}/events") as response:
        return [line.removeprefix("event: ") async for line in response.aiter_lines() if line.startswith("event: ")]


@pytest.mark.parametrize("tasks", [60, pytest.param(5000, marks=[pytest.mark.chaos, pytest.mark.timeout(3600)])])
async def test_cancel_completion_and_time_out_race(start_service: Start, database_url: str, tasks: int) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure, to repeat it
    draw = random.Random(seed)
    services = [start_service(rate_limit="off", cancel_grace_s="0.2", lease_s="3") for _ in range(2)]
    seen = Evidence()
    places = asyncio.Semaphore(15)
    ends: set[tuple[str, str | None]] = set()
    async with services[0].client(timeout=60) as one, services[1].client(timeout=60) as two:

        async def race() -> None:
            async with places:
                timeout_s, pause_s = draw.choice((0.1, 0.15, 2.0)), draw.choice((0.0, 0.1, 1.0))
                task_id = await submit(one, "sleep", {"seconds": 0.1}, timeout_s=timeout_s, retry={"max_attempts": 1})
                seen.accepted.add(task_id)
                streamed = asyncio.create_task(names_in_stream(two, task_id))
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=pause_s)
                cancelled = await draw.choice((one, two)).post(f"/v1/tasks/{task_id}/cancel")
                assert cancelled.status_code in (202, 409), cancelled.text
                body = await until_over(one, task_id)
                ends.add((body["status"], body["details"]["reason"]))
                elsewhere = (await two.get(f"/v1/tasks/{task_id}")).json()["body"]
                assert (elsewhere["status"], elsewhere["details"]["reason"]) == (
                    body["status"], body["details"]["reason"],
                )  # fmt: skip
                names = await streamed
                assert len(TERMINAL.intersection(names)) == sum(name in TERMINAL for name in names) == 1
                await read_history(seen, two, task_id)
                told = [item for item in seen.told[task_id] if item.name in TERMINAL]
                assert [item.name for item in told] == [name for name in names if name in TERMINAL]
                assert json.loads(told[0].message)["body"]["status"] == body["status"]

        await asyncio.gather(*(race() for _ in range(tasks)))
    async with looking_into(database_url) as connection:
        await read_database(seen, connection)
    assert violations(seen) == []
    assert len(ends) >= 2, f"a race that always ends the same way is none: {ends}"
