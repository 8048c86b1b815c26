import base64
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.caller import Caller, Json, at, details, message, pointers

# -- batch ----------------------------------------------------------------------------------------


def batch(caller: Caller, messages: list[object]) -> httpx.Response:
    return caller.http.post("/v1/tasks/batch", json={"messages": messages})


def outcomes(caller: Caller, messages: list[object]) -> list[Json]:
    response = batch(caller, messages)
    assert response.status_code == 200, response.text
    found: list[Json] = response.json()["outcomes"]
    return found


def test_each_message_of_a_batch_has_its_own_outcome(alice: Caller) -> None:
    good, wrong = message(parameters={"n": 1}), message("sleep", {"seconds": "long"})
    conflicting = json.loads(json.dumps(good))
    conflicting["body"]["priority"] = 9
    found = outcomes(alice, [good, wrong, 7, None])
    assert [outcome["status"] for outcome in found] == [202, 422, 422, 422]
    assert found[0]["task"]["body"]["status"] in {"ResourceAllocation", "Executing"}
    assert found[1]["problem"]["errors"][0]["pointer"] == "/body/task_specification/parameters/seconds"
    assert found[1]["problem"]["task_id"]
    again = outcomes(alice, [conflicting, good])
    assert [outcome["status"] for outcome in again] == [409, 200]
    assert details(again[1]["task"])["task_id"] == details(found[0]["task"])["task_id"]


def test_one_message_twice_in_a_batch_makes_one_task(alice: Caller) -> None:
    sent = message()
    found = outcomes(alice, [sent, sent, sent])
    assert sorted(outcome["status"] for outcome in found) == [200, 200, 202]
    assert len({details(outcome["task"])["task_id"] for outcome in found}) == 1


def test_a_thousand_messages_fit_and_all_complete(alice: Caller) -> None:
    found = outcomes(alice, [message(parameters={"n": number}, message_id=f"m-{number}") for number in range(1000)])
    assert {outcome["status"] for outcome in found} == {202}
    assert [outcome["task"]["header"]["reference_id"] for outcome in found] == [f"m-{n}" for n in range(1000)]
    last = alice.finished(details(found[-1]["task"])["task_id"])
    assert details(last)["result"] == {"n": 999}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"messages": []}, "/messages"),
        ({"messages": [{}] * 1001}, "/messages"),
        ({"messages": {}}, "/messages"),
        ({}, "/messages"),
        ({"messages": [{}], "more": 1}, "/more"),
        ([], "/messages"),
        (7, "/messages"),
    ],
)
def test_a_batch_that_is_none_is_refused(alice: Caller, body: object, pointer: str) -> None:
    response = alice.http.post("/v1/tasks/batch", json=body)
    assert response.status_code == 422
    assert pointers(response) == [pointer]


def test_a_batch_that_is_not_json_is_malformed(alice: Caller) -> None:
    response = alice.http.post("/v1/tasks/batch", content=b"{", headers={"Content-Type": "application/json"})
    assert response.status_code == 400


# -- list -----------------------------------------------------------------------------------------


def listed(caller: Caller, **query: object) -> list[str]:
    """The message_ids of one page."""
    response = caller.http.get("/v1/tasks", params=httpx.QueryParams(query))  # type: ignore[arg-type]  # any scalar
    assert response.status_code == 200, response.text
    return [item["header"]["reference_id"] for item in response.json()["items"]]


def test_filters_narrow_the_list(alice: Caller) -> None:
    begin = at()
    first = alice.submit(message(message_id="a", labels={"team": "search", "x": "1=2"}, priority=3))
    second = alice.submit(message("sleep", {"seconds": 0}, message_id="b", labels={"team": "search"}))
    for task_id in (first, second):
        alice.finished(task_id)
    alice.post(message("sleep", {"seconds": -1}, message_id="c"))
    assert listed(alice) == ["c", "b", "a"]
    assert listed(alice, status="Completed") == ["b", "a"]
    assert listed(alice, status=["Completed", "Rejected"]) == ["c", "b", "a"]
    assert listed(alice, status="Failed") == []
    assert listed(alice, type="echo") == ["a"]
    assert listed(alice, priority=3) == ["a"]
    assert listed(alice, label="team=search") == ["b", "a"]
    assert listed(alice, label=["team=search", "x=1=2"]) == ["a"]
    assert listed(alice, label="team:search") == ["b", "a"]
    assert listed(alice, message_id="b") == ["b"]
    assert listed(alice, submitted_after=begin) == ["c", "b", "a"]
    assert listed(alice, submitted_before=begin) == []
    assert listed(alice, type="%", label="team=%") == []
    assert listed(alice, type="echo' OR '1'='1") == []


def test_the_short_view_leaves_results_out(alice: Caller) -> None:
    alice.finished(alice.submit(message(parameters={"n": 1})))
    short, full = (alice.http.get("/v1/tasks", params={"view": view}).json() for view in ("summary", "full"))
    assert details(short["items"][0])["result"] is None
    assert details(full["items"][0])["result"] == {"n": 1}


def test_a_list_has_ones_own_tasks_and_an_admins_has_all(alice: Caller, bob: Caller, admin: Caller) -> None:
    alice.submit(message(message_id="hers"))
    bob.submit(message(message_id="his"))
    assert listed(alice) == ["hers"]
    assert listed(alice, submitter=bob.subject) == []
    assert listed(alice, submitter=alice.subject) == ["hers"]
    assert listed(admin, submitter=bob.subject) == ["his"]
    assert {"hers", "his"} <= set(listed(admin, limit=200))


def test_a_walk_by_cursor_has_no_gap_and_no_double_while_tasks_come_in(alice: Caller) -> None:
    names = [f"old-{number}" for number in range(130)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: alice.submit(message(message_id=name)), names))
    seen: list[str] = []
    cursor = None
    for page in range(100):
        query: dict[str, str | int] = {"limit": 25, **({"cursor": cursor} if cursor else {})}
        answer = alice.http.get("/v1/tasks", params=query).json()
        seen += [item["header"]["reference_id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
        alice.submit(message(message_id=f"new-{page}"))
    assert sorted(seen) == sorted(names)


def test_a_cursor_of_anothers_task_opens_nothing(alice: Caller, bob: Caller) -> None:
    alice.submit(message(message_id="hers"))
    task_id = bob.submit(message(message_id="his"))
    cursor = base64.urlsafe_b64encode(task_id.encode()).decode()
    assert listed(alice, cursor=cursor) == ["hers"]


@pytest.mark.parametrize("cursor", ["x", "!!!!", "é", "AAAA", "LS0tLS0=", "MQ", "b3I", "\x00", "=" * 8])
def test_a_forged_cursor_is_refused(alice: Caller, cursor: str) -> None:
    response = alice.http.get("/v1/tasks", params={"cursor": cursor})
    assert response.status_code == 400
    assert response.json()["type"].endswith("invalid-cursor")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=201", "/query/limit"),
        ("limit=1e9", "/query/limit"),
        ("limit=", "/query/limit"),
        ("status=Done", "/query/status/0"),
        ("status=completed", "/query/status/0"),
        ("priority=32768", "/query/priority"),
        ("priority=high", "/query/priority"),
        ("view=all", "/query/view"),
        ("label=team", "/query/label"),
        ("label=%3Dx", "/query/label"),
        ("label=a%3D%00", "/query/label"),
        ("type=%00", "/query/type"),
        ("message_id=a%00b", "/query/message_id"),
        ("submitter=%00", "/query/submitter"),
        ("type=" + "x" * 256, "/query/type"),
        ("submitted_after=2026-01-01", "/query/submitted_after"),
        ("submitted_before=2026-01-01T00:00:00", "/query/submitted_before"),
        ("cursor=" + "x" * 201, "/query/cursor"),
        ("order=desc", "/query/order"),
    ],
)
def test_a_wrong_filter_is_named(admin: Caller, query: str, pointer: str) -> None:
    response = admin.http.get(f"/v1/tasks?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert not response.json()["errors"][0]["detail"].startswith(("Value error", "Input"))


@pytest.mark.parametrize("limit", [1, 200])
def test_the_bounds_of_a_page_are_accepted(alice: Caller, limit: int) -> None:
    assert listed(alice, limit=limit) == []
