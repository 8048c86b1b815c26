"""Poison of every kind through the service: its own attempts fail, with the evidence, and nobody else notices."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.client import submit, until_over
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.support.service import Service
from tests.support.waiting import eventually

SMALL = {"cpu": 0.1, "memory_mb": 64}
DIED = {"kind": "ProcessDied", "asked_memory_mb": 64}
ONCE = {"max_attempts": 1}

# Kind, parameters, further members of the specification, the reason, and what the error has to say.
POISON: list[tuple[str, dict[str, Any], dict[str, Any], str, dict[str, Any]]] = [
    ("raises", {}, {}, "execution_error", {"kind": "ValueError", "message": "this value is bad"}),
    ("raises_permanently", {}, {}, "execution_error", {"kind": "PermanentError"}),
    ("segfault", {}, {}, "execution_error", DIED | {"signal": "SIGSEGV"}),
    ("exit", {"code": 3}, {}, "execution_error", DIED | {"exit_code": 3}),
    ("killed", {}, {}, "execution_error", DIED | {"signal": "SIGKILL"}),
    (
        "allocate",
        {"chunk_mb": 4000, "chunks": 1},
        {},
        "execution_error",
        {"kind": "MemoryError", "asked_memory_mb": 64},
    ),
    ("spin", {}, {"timeout_s": 0.5}, "timed_out", {"kind": "timed_out"}),
    ("spin_in_c", {}, {"timeout_s": 0.5}, "timed_out", {"kind": "timed_out"}),
    ("deaf", {}, {"timeout_s": 0.5}, "timed_out", {"kind": "timed_out"}),
    ("stopped", {}, {"timeout_s": 0.5}, "timed_out", {"kind": "timed_out"}),
    ("grandchildren", {"then": "die"}, {}, "execution_error", DIED | {"exit_code": 9}),
    ("grandchildren", {"then": "wait"}, {"timeout_s": 2}, "timed_out", {"kind": "timed_out"}),
    ("unserialisable", {}, {}, "execution_error", {"kind": "ResultNotJson"}),
    ("huge", {}, {"resources": {"cpu": 0.1, "memory_mb": 512}}, "result_too_large", {"kind": "ResultTooLarge"}),
]
PERMANENT = {"raises_permanently", "unserialisable", "huge"}


def family(service: Service) -> set[int]:
    """The service's process and all that descends from it."""
    process = psutil.Process(service.process_id)
    return {process.pid, *(child.pid for child in process.children(recursive=True))}


@pytest.mark.parametrize("rounds", [1, pytest.param(50, marks=[pytest.mark.chaos, pytest.mark.timeout(3600)])])
async def test_poison_of_every_kind(start_service: Callable[..., Service], database_url: str, rounds: int) -> None:
    service = start_service(
        task_types="tests.execution.backends.poison,tests.faults.bad_kinds",
        capacity='{"cpu": 0.6, "memory_mb": 4000}',
        warm_processes="2",
        backoff_initial_s="0.05",
        backoff_max_s="0.1",
        rate_limit="off",
    )
    born = family(service)
    seen = Evidence()
    async with service.client(timeout=60) as client:
        for _ in range(rounds):
            await one_round(client, seen)
        await check_at_rest(service, client, born)
    async with looking_into(database_url) as connection:
        await read_database(seen, connection)
    assert violations(seen) == []


async def one_round(client: httpx.AsyncClient, seen: Evidence) -> None:
    """Every kind once, with two attempts, between neighbours; a million calls of progress beside them."""
    flood = await submit(client, "flood_progress", {"calls": 1_000_000}, resources=SMALL, timeout_s=100)
    poisoned, neighbours = {}, []
    for number, (kind, parameters, members, *_) in enumerate(POISON):
        asked = {"resources": SMALL, "retry": {"max_attempts": 2}, **members}
        poisoned[number] = await submit(client, kind, parameters, **asked)
        neighbours.append(await submit(client, "neighbour", {"number": number}, resources=SMALL, retry=ONCE))
    for number, task_id in enumerate(neighbours):
        body = await until_over(client, task_id, within_s=100)
        assert (body["status"], body["details"]["result"]) == ("Completed", {"number": number})
    for number, task_id in poisoned.items():
        await check_failed(client, task_id, *POISON[number][0::3], POISON[number][4])
    body = await until_over(client, flood, within_s=100)
    assert (body["status"], body["details"]["attempt"]) == ("Completed", 1)
    assert body["details"]["sequence"] < 2_000, "progress is thinned"
    seen.accepted |= {flood, *poisoned.values(), *neighbours}


async def check_failed(client: httpx.AsyncClient, task_id: str, kind: str, reason: str, error: dict[str, Any]) -> None:
    """Failed after all of its attempts, for this reason, with this evidence."""
    body = await until_over(client, task_id, within_s=100)
    details = body["details"]
    assert (body["status"], details["reason"]) == ("Failed", reason), f"{kind}: {details}"
    assert details["attempt"] == (1 if kind in PERMANENT else 2), kind
    assert {name: details["error"].get(name) for name in error} == error, f"{kind}: {details['error']}"
    assert details["error"]["message"]
    if "asked_memory_mb" in error:
        assert details["error"]["peak_memory_mb"] >= 0


async def check_at_rest(service: Service, client: httpx.AsyncClient, born: set[int]) -> None:
    """Nothing is allocated, nothing runs that should not, and the process is the one that was started."""

    async def at_rest() -> bool:
        return all(amount == 0 for amount in (await client.get("/v1/resources")).json()["allocated"].values())

    await eventually(at_rest, "nothing is allocated")

    async def no_orphans() -> bool:
        # The warm children and their guardian; idle ones beyond those are kept for a minute.
        return len(family(service)) <= len(born) + 8

    await eventually(no_orphans, "no orphans")
    strays = [process.pid for process in psutil.process_iter(["name", "cmdline"]) if is_ours(process)]
    assert strays == []
    assert service.process_id in born
    assert "Traceback" not in "".join(line for line in service.log.splitlines() if '"level":"error"' in line)


def is_ours(process: psutil.Process) -> bool:
    """A sleeper that a handler left behind."""
    return bool(process.info["cmdline"] == ["sleep", "3600"] and process.ppid() == 1)


async def test_a_child_that_is_paused_is_killed_at_its_timeout(start_service: Callable[..., Service]) -> None:
    """An operator's SIGSTOP, or a debugger: the lease is kept, and the time-out ends it."""
    service = start_service(
        task_types="tests.execution.backends.poison,tests.faults.bad_kinds", lease_s="1", rate_limit="off"
    )
    async with service.client() as client:
        paused = await submit(client, "stopped", resources=SMALL, timeout_s=3, retry=ONCE)
        beside = [await submit(client, "neighbour", {"n": n}, resources=SMALL) for n in range(5)]
        bodies = await asyncio.gather(*(until_over(client, task_id) for task_id in [paused, *beside]))
        assert (bodies[0]["status"], bodies[0]["details"]["reason"]) == ("Failed", "timed_out")
        assert {body["status"] for body in bodies[1:]} == {"Completed"}
