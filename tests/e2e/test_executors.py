"""Executors outside: they claim over HTTP, keep what they hold, and end it; leases, fences and retries are the same."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.api.caller import message
from tests.faults.invariants import Evidence, looking_into, read_database, violations
from tests.support.service import Service
from tests.support.waiting import eventually

Json = dict[str, Any]
KINDS = "tests.e2e.outside_kinds"


@pytest.fixture
def service(start_service: Callable[..., Service]) -> Service:
    """One whose leases are short; nothing is waited for between two attempts."""
    return start_service(task_types=KINDS, lease_s="2", backoff_initial_s="0", cancel_grace_s="0.1")


@pytest.fixture
async def alice(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A submitter."""
    async with service.client() as client:
        yield client


@pytest.fixture
async def printer(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """An executor."""
    async with service.client("printer", "executor") as client:
        yield client


@pytest.fixture
async def other(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Another executor."""
    async with service.client("other", "executor") as client:
        yield client


async def submit(client: httpx.AsyncClient, kind: str = "print", **members: Any) -> str:
    answer = await client.post("/v1/tasks", json=message(kind, {"pages": 3}, **members))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["body"]["details"]["task_id"])


async def claim(client: httpx.AsyncClient, **members: Any) -> list[Json]:
    answer = await client.post("/v1/executions/claim", json=members)
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["executions"]
    return found


async def say(client: httpx.AsyncClient, execution: Json, what: str, **members: Any) -> httpx.Response:
    path = f"/v1/executions/{execution['execution_id']}/{what}"
    return await client.post(path, json=members) if members else await client.post(path)


async def body(client: httpx.AsyncClient, task_id: str) -> Json:
    found: Json = (await client.get(f"/v1/tasks/{task_id}")).json()["body"]
    return found


async def names(client: httpx.AsyncClient, task_id: str) -> list[str]:
    items = (await client.get(f"/v1/tasks/{task_id}/messages")).json()["items"]
    return [item["name"] for item in items]


async def test_an_executor_that_has_gone_while_it_waited_is_given_nothing(
    alice: httpx.AsyncClient, printer: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await printer.post("/v1/executions/claim", json={"wait_s": 30}, timeout=0.5)
    task_id = await submit(alice)
    (execution,) = await claim(other, wait_s=10)
    assert execution["execution_id"] == f"{task_id}.1", "no attempt was lost"
    assert (await say(other, execution, "complete", result=None)).status_code == 200


async def test_from_the_claim_to_the_result(
    service: Service, alice: httpx.AsyncClient, printer: httpx.AsyncClient, database_url: str
) -> None:
    held_back = asyncio.create_task(claim(printer, types=["print"], wait_s=30))
    task_id = await submit(alice)
    [execution] = await held_back
    assert (execution["task_id"], execution["type"], execution["attempt"]) == (task_id, "print", 1)
    assert (execution["parameters"], execution["resources"]) == ({"pages": 3}, {"cpu": 1000})
    assert (await body(printer, task_id))["status"] == "Executing", "an executor sees what it holds"
    told = (await say(printer, execution, "progress", progress=0.5, details={"page": 2})).json()
    assert (told["stop"], told["lease_s"]) == (None, 2)
    assert (await body(alice, task_id))["progress"] == 0.5
    first = await say(printer, execution, "complete", result={"printed": 2**70}, used={"cpu_s": 1.5})
    again = await say(printer, execution, "complete", result={"printed": 2**70})
    assert (first.status_code, again.status_code) == (200, 200), "the answer to the first may have been lost"
    ended = await body(alice, task_id)
    assert (ended["status"], ended["details"]["result"]) == ("Completed", {"printed": 2**70})
    assert ended["details"]["resources"]["used"] == {"cpu_s": 1.5}
    assert (await printer.get(f"/v1/tasks/{task_id}")).status_code == 404, "and no more when it is over"
    assert await names(alice, task_id) == [
        "SubmitTask", "TaskAccepted", "RequestResources", "ResourcesAllocated", "ExecutionStarted", "ProgressUpdate",
        "ReleaseResources", "ResourcesReleased", "TaskCompleted",
    ]  # fmt: skip
    assert (await say(printer, execution, "complete", result="other")).status_code == 409
    seen = Evidence(accepted={task_id})
    async with looking_into(database_url) as connection:
        await read_database(seen, connection)
    assert violations(seen) == []


async def test_an_offer_is_filled_and_not_exceeded(alice: httpx.AsyncClient, printer: httpx.AsyncClient) -> None:
    scans = [await submit(alice, "scan") for _ in range(3)]
    await submit(alice, "print")
    offer = {"cpu": 4, "custom": {"scanner": 2}}
    found = await claim(printer, resources=offer, limit=10)
    assert [each["task_id"] for each in found] == scans[:2]
    assert await claim(printer, resources={"cpu": 4}, limit=10) == []
    assert [each["task_id"] for each in await claim(printer, types=["scan"], limit=10)] == scans[2:]


async def test_a_failed_execution_is_tried_again_and_then_given_up(
    alice: httpx.AsyncClient, printer: httpx.AsyncClient
) -> None:
    await submit(alice, retry={"max_attempts": 2, "initial_s": 0})
    error = {"kind": "OutOfPaper", "message": "tray 2 is empty"}
    [first] = await claim(printer)
    assert (await say(printer, first, "fail", error=error)).json()["body"]["status"] == "Waiting"
    [second] = await claim(printer, wait_s=10)
    assert second["attempt"] == 2
    assert (await say(printer, first, "heartbeat")).status_code == 409, "the first one is over"
    assert (await say(printer, first, "fail", error=error)).status_code == 409, "and another one goes on"
    ended = (await say(printer, second, "fail", error=error)).json()["body"]
    assert (ended["status"], ended["details"]["reason"]) == ("Failed", "execution_error")
    assert ended["details"]["error"] == error
    again = await say(printer, second, "fail", error=error)
    assert (again.status_code, again.json()["body"]["status"]) == (200, "Failed"), "the answer may have been lost"
    assert (await say(printer, second, "fail", error={**error, "message": "other"})).status_code == 409
    once = await submit(alice)
    [execution] = await claim(printer)
    await say(printer, execution, "fail", error=error, permanent=True)
    assert (await body(alice, once))["status"] == "Failed"


async def test_an_acknowledgement_is_recorded_with_the_next_heartbeat(
    alice: httpx.AsyncClient, printer: httpx.AsyncClient
) -> None:
    """However long the execution goes on: its webhooks would be sent again until then."""
    task_id = await submit(alice)
    [execution] = await claim(printer)
    receipt = await alice.post(f"/v1/tasks/{task_id}/acknowledgements", json={"sequence": 5})
    assert receipt.json()["acknowledged"] == 5
    for _ in range(2):
        assert (await say(printer, execution, "heartbeat")).json()["stop"] is None
    assert (await body(alice, task_id))["details"]["acknowledged"] == 5
    assert (await names(alice, task_id))[5:] == ["Acknowledge"]
    assert (await say(printer, execution, "complete", result=None)).status_code == 200


async def test_another_executor_can_do_nothing_with_it(
    alice: httpx.AsyncClient, printer: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    task_id = await submit(alice)
    [execution] = await claim(printer)
    for what, members in (
        ("heartbeat", {}),
        ("progress", {"progress": 1}),
        ("complete", {"result": 1}),
        ("fail", {"error": {"kind": "a", "message": "b"}}),
    ):
        answer = await say(other, execution, what, **members)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:task-executor:problem:lease-lost"), what
        assert (await say(alice, execution, what, **members)).status_code == 403, "submitters execute nothing"
    assert (await other.get(f"/v1/tasks/{task_id}")).status_code == 404
    assert (await printer.post("/v1/tasks", json=message("print", {"pages": 1}))).status_code == 403
    for name in ("nothing", f"{task_id}.9", f"{task_id}.0", task_id):
        assert (await say(printer, {"execution_id": name}, "heartbeat")).status_code == 404, name
    await say(printer, execution, "complete", result=None)


async def test_a_silent_executor_loses_its_task_to_another(
    alice: httpx.AsyncClient, printer: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    task_id = await submit(alice)
    [lost] = await claim(printer)
    [found] = await claim(other, wait_s=30)
    assert (found["task_id"], found["attempt"]) == (task_id, 2)
    assert (await say(printer, lost, "complete", result="too late")).status_code == 409
    assert (await say(other, found, "complete", result="done")).status_code == 200
    assert (await body(alice, task_id))["details"]["result"] == "done"


async def test_a_cancel_is_told_and_then_enforced(alice: httpx.AsyncClient, printer: httpx.AsyncClient) -> None:
    task_id = await submit(alice)
    [execution] = await claim(printer)
    assert (await alice.post(f"/v1/tasks/{task_id}/cancel")).status_code == 202
    told = (await say(printer, execution, "heartbeat")).json()
    assert told["stop"] == "cancelled"

    async def ended() -> bool:
        return bool((await say(printer, execution, "heartbeat")).status_code == 409)

    await eventually(ended, "the execution is ended after the grace time")
    assert (await body(alice, task_id))["details"]["reason"] == "cancelled"
    waiting = await submit(alice)
    await alice.post(f"/v1/tasks/{waiting}/cancel")
    assert await claim(printer) == []


async def test_an_execution_that_takes_too_long_is_ended(alice: httpx.AsyncClient, printer: httpx.AsyncClient) -> None:
    task_id = await submit(alice, "scan", retry={"max_attempts": 1})
    [execution] = await claim(printer)

    async def told() -> Json | None:
        answer = (await say(printer, execution, "heartbeat")).json()
        return answer if answer.get("stop") else None

    answer = await eventually(told, "it has run out of time")
    assert answer is not None
    assert (answer["stop"], answer["lease_s"]) == ("timed_out", 0)
    assert (await body(alice, task_id))["details"]["reason"] == "timed_out"


WRONG: list[tuple[str, Json, str]] = [
    ("claim", {"types": ["echo"]}, "/types/0"),
    ("claim", {"limit": 0}, "/limit"),
    ("claim", {"wait_s": 61}, "/wait_s"),
    ("claim", {"resources": {"cpu": -1}}, "/resources/cpu"),
    ("claim", {"owner": "me"}, "/owner"),
    ("{id}/progress", {"progress": 2}, "/progress"),
    ("{id}/complete", {}, "/result"),
    ("{id}/fail", {"error": {"message": "b"}}, "/error/kind"),
]


async def test_what_is_wrong_with_a_body(alice: httpx.AsyncClient, printer: httpx.AsyncClient) -> None:
    task_id = await submit(alice)
    for what, sent, pointer in WRONG:
        answer = await printer.post(f"/v1/executions/{what.format(id=task_id + '.1')}", json=sent)
        assert answer.status_code == 422, (what, sent)
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_result_that_is_too_large_fails_the_task(start_service: Callable[..., Service]) -> None:
    service = start_service(task_types=KINDS, max_result_bytes="1024")
    async with service.client() as alice, service.client("printer", "executor") as printer:
        await submit(alice)
        [execution] = await claim(printer)
        ended = (await say(printer, execution, "complete", result="x" * 2000)).json()["body"]
        assert (ended["status"], ended["details"]["reason"]) == ("Failed", "result_too_large")
        assert re.search("at most 1024", ended["details"]["error"]["message"])
