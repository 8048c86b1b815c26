"""How true the expected start comes at the real service: asked while tasks wait, compared with when they started."""

import random
from collections.abc import Callable
from statistics import median, quantiles
from time import time
from typing import Any, NamedTuple

import httpx
import pytest

from app.protocol.times import parse_time
from tests.api.caller import message
from tests.support.service import Service
from tests.support.waiting import wait_until

SUBMITTERS = ("alice", "bob", "carol")
LEARNT_FROM = 30
WAITING = 240
ASKED_AT_ONCE = 10
MEAN_S = 0.5


class Said(NamedTuple):
    """What was said of a task at a time; seconds since the epoch."""

    task_id: str
    at: float
    earliest: float
    expected: float
    latest: float


class Wish(NamedTuple):
    """How long a task sleeps, and how many cores it asks for."""

    seconds: float
    cpu: float = 1


def _even(chance: random.Random) -> Wish:
    return Wish(chance.uniform(0.5, 1.5) * MEAN_S)


def _two_sorts(chance: random.Random) -> Wish:
    return Wish(chance.choice((0.25, 1.75)) * MEAN_S)


def _wild(chance: random.Random) -> Wish:
    return Wish(chance.expovariate(1 / MEAN_S))


def _sizes(chance: random.Random) -> Wish:
    return Wish(chance.uniform(0.5, 1.5) * MEAN_S, chance.choice((0.5, 1, 2, 4)))


def submit(client: httpx.Client, wish: Wish) -> str:
    parameters = {"seconds": round(wish.seconds, 3)}
    answer = client.post("/v1/tasks", json=message("sleep", parameters, resources={"cpu": wish.cpu}))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["body"]["details"]["task_id"])


def details(client: httpx.Client, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/tasks/{task_id}").json()["body"]["details"]
    return found


def asked(client: httpx.Client, task_id: str) -> Said | None:
    """What the service says of the task now; None where it does not wait any more, or nothing is said of its start."""
    at = time()
    waiting = client.get(f"/v1/tasks/{task_id}/explanation").json()["waiting"] or {}
    if not waiting.get("expected_start"):
        return None
    earliest, latest = waiting["expected_start_range"]
    times = [parse_time(each).timestamp() for each in (earliest, waiting["expected_start"], latest)]
    return Said(task_id, at, *times)


def asked_while_they_wait(tasks: dict[str, httpx.Client], chance: random.Random) -> list[Said]:
    said: list[Said] = []
    left = dict(tasks)

    def ask() -> bool:
        for task_id in chance.sample(sorted(left), min(ASKED_AT_ONCE, len(left))):
            found = asked(left[task_id], task_id)
            if found is None:
                del left[task_id]
            else:
                said.append(found)
        return not left

    wait_until(ask, "all have started", 300)
    return said


@pytest.mark.chaos
@pytest.mark.parametrize("wish", [_even, _two_sorts, _wild, _sizes])
def test_the_expected_start_comes_about_true(
    start_service: Callable[..., Service], wish: Callable[[random.Random], Wish]
) -> None:
    service = start_service(capacity='{"cpu": 4}', rate_limit="off")
    chance = random.Random(1)
    clients = [service.blocking_client(name) for name in SUBMITTERS]
    learnt = [submit(clients[0], wish(chance)) for _ in range(LEARNT_FROM)]
    wait_until(lambda: all(details(clients[0], each)["finished_at"] for each in learnt), "run times are known", 120)
    tasks = {submit(client, wish(chance)): client for _ in range(WAITING // len(clients)) for client in clients}
    said = asked_while_they_wait(tasks, chance)
    truth = {each: parse_time(details(client, each)["started_at"]).timestamp() for each, client in tasks.items()}
    # Within a tenth of a second everything is an error of the clock and of the connection.
    told = [each for each in said if truth[each.task_id] - each.at > 0.1]
    errors = [(each.expected - truth[each.task_id]) / (truth[each.task_id] - each.at) for each in told]
    inside = sum(each.earliest <= truth[each.task_id] <= each.latest for each in told) / len(told)
    twentieths = quantiles(errors, n=20)
    print(  # noqa: T201 - the figures of docs/resources.md
        f"{wish.__name__}: {len(told)} asked; error 5 % {twentieths[0]:+.0%}, median {median(errors):+.0%}, "
        f"95 % {twentieths[-1]:+.0%}; median size {median(map(abs, errors)):.0%}; inside {inside:.0%}"
    )
    for client in clients:
        client.close()
    assert abs(median(errors)) <= 0.25
    assert inside >= 0.6
