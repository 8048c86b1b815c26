import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.caller import PROBLEM, Caller, Json, details, message, pointers, sleeping

LAST = 8
"""Sequence of TaskCompleted of a task that did nothing but run."""


def acknowledge(caller: Caller, task_id: str, sequence: object) -> httpx.Response:
    return caller.http.post(f"/v1/tasks/{task_id}/acknowledgements", json={"sequence": sequence})


def receipt(task_id: str, acknowledged: int, last: int) -> Json:
    return {"task_id": task_id, "acknowledged": acknowledged, "last_sequence": last}


@pytest.fixture
def done(alice: Caller) -> str:
    """The id of a completed task of Alice's."""
    task_id = alice.submit(message())
    alice.finished(task_id)
    return task_id


def test_an_acknowledgement_becomes_a_message_of_the_history(alice: Caller, done: str) -> None:
    assert details(alice.get(done).json())["acknowledged"] == 0
    response = acknowledge(alice, done, LAST)
    assert (response.status_code, response.json()) == (200, receipt(done, LAST, LAST + 1))
    item = alice.history(done)[-1]
    assert [item[name] for name in ("sequence", "name", "sender", "recipient", "status")] == [
        LAST + 1,
        "Acknowledge",
        "submitter",
        "executor",
        "Completed",
    ]
    assert item["message"]["type"] == "acknowledge"
    assert item["message"]["body"] == {"sequence": LAST}
    assert item["message"]["header"]["message_id"] == f"{done}.{LAST + 1}"
    status = details(alice.get(done).json())
    assert (status["acknowledged"], status["sequence"]) == (LAST, LAST + 1)


def test_it_is_cumulative_and_repeating_it_writes_nothing(alice: Caller, done: str) -> None:
    acknowledge(alice, done, 5)
    etag = alice.get(done).headers["etag"]
    for earlier in (5, 4, 1, 5):
        assert acknowledge(alice, done, earlier).json() == receipt(done, 5, LAST + 1)
    assert alice.get(done).headers["etag"] == etag
    assert acknowledge(alice, done, LAST).json() == receipt(done, LAST, LAST + 2)
    bodies = [item["message"]["body"] for item in alice.history(done) if item["name"] == "Acknowledge"]
    assert bodies == [{"sequence": 5}, {"sequence": LAST}]


def test_acknowledging_ones_own_acknowledgement_comes_to_an_end(alice: Caller, done: str) -> None:
    assert acknowledge(alice, done, LAST).json()["last_sequence"] == LAST + 1
    assert acknowledge(alice, done, LAST + 1).json() == receipt(done, LAST, LAST + 1)
    assert len(alice.history(done)) == LAST + 1


@pytest.mark.parametrize("beyond", [LAST + 1, 2**31, 2**63, 10**90])
def test_what_has_not_been_sent_cannot_be_acknowledged(alice: Caller, done: str, beyond: int) -> None:
    response = acknowledge(alice, done, beyond)
    problem = response.json()
    assert (response.status_code, response.headers["content-type"]) == (409, PROBLEM)
    assert problem["type"].endswith(":not-yet-sent")
    assert (problem["task_id"], problem["last_sequence"], pointers(response)) == (done, LAST, ["/sequence"])
    assert details(alice.get(done).json())["acknowledged"] == 0


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "/sequence"),
        ({"sequence": "8"}, "/sequence"),
        ({"sequence": 8.0}, "/sequence"),
        ({"sequence": True}, "/sequence"),
        ({"sequence": None}, "/sequence"),
        ({"sequence": 0}, "/sequence"),
        ({"sequence": -1}, "/sequence"),
        ({"sequence": 1, "more": 1}, "/more"),
        ([1], ""),
        (None, ""),
    ],
)
def test_a_wrong_body_is_refused_by_name(alice: Caller, done: str, body: object, where: str) -> None:
    response = alice.http.post(f"/v1/tasks/{done}/acknowledgements", json=body)
    if body is None:
        response = alice.http.post(
            f"/v1/tasks/{done}/acknowledgements", content=b"null", headers={"Content-Type": "application/json"}
        )
    assert response.status_code == 422, response.text
    assert pointers(response) == [where]


def test_a_body_that_is_no_json_or_not_sent_as_such(alice: Caller, done: str) -> None:
    path = f"/v1/tasks/{done}/acknowledgements"
    assert alice.http.post(path, content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert alice.http.post(path, content=b'{"sequence":1}').status_code == 415
    big = b'{"sequence":1' + b" " * 1_100_000 + b"}"
    assert alice.http.post(path, content=big, headers={"Content-Type": "application/json"}).status_code == 413


def test_anothers_task_is_not_there_and_an_admin_may(alice: Caller, bob: Caller, admin: Caller, done: str) -> None:
    assert acknowledge(bob, done, 1).status_code == 404
    assert acknowledge(bob, "01a2092b-b65d-71ec-ad7b-8d8a9fb8c13b", 1).status_code == 404
    assert details(alice.get(done).json())["acknowledged"] == 0
    assert acknowledge(admin, done, 2).json()["acknowledged"] == 2


def test_a_rejected_task_can_be_acknowledged(alice: Caller) -> None:
    task_id = alice.post(message("no-such-type")).json()["task_id"]
    assert acknowledge(alice, task_id, 2).json() == receipt(task_id, 2, 3)


def test_a_running_task_goes_on_after_an_acknowledgement(alice: Caller, licence_holder: str) -> None:
    waiting = alice.submit(sleeping(0))
    assert acknowledge(alice, waiting, 3).json() == receipt(waiting, 3, 4)
    alice.cancel(waiting)
    running = alice.submit(message("sleep", {"seconds": 600}))
    alice.once(running, {"Executing"})
    assert acknowledge(alice, running, 5).json()["acknowledged"] == 5
    alice.cancel(running)
    assert alice.finished(running)["body"]["details"]["acknowledged"] == 5
    check_history(alice, running)


def test_concurrent_acknowledgements_out_of_order_end_at_the_highest(alice: Caller, done: str) -> None:
    running = alice.submit(message("sleep", {"seconds": 600}))
    alice.once(running, {"Executing"})
    for task_id, highest in ((done, LAST), (running, 5)):
        wanted = [(number * 7) % highest + 1 for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda sequence, of=task_id: acknowledge(alice, of, sequence), wanted))
        assert {answer.status_code for answer in answers} == {200}
        for sequence, answer in zip(wanted, answers, strict=True):
            assert answer.json()["acknowledged"] >= sequence
        assert details(alice.get(task_id).json())["acknowledged"] == highest
        check_history(alice, task_id)
    alice.cancel(running)


def check_history(caller: Caller, task_id: str) -> None:
    """No gap, and the acknowledgements in it only grow: never one without a request, never one twice."""
    items = caller.history(task_id)
    assert [item["sequence"] for item in items] == list(range(1, len(items) + 1))
    told = [item["message"]["body"]["sequence"] for item in items if item["name"] == "Acknowledge"]
    assert told == sorted(set(told)), json.dumps(told)
