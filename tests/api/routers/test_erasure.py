"""Erasing the content of a task over HTTP, and what everyone is told of it then."""

import httpx

from tests.api.caller import PROBLEM, Caller, details, message, sleeping

SECRET = "correct horse battery staple"


def erase(caller: Caller, task_id: str) -> httpx.Response:
    return caller.http.delete(f"/v1/tasks/{task_id}/content")


def test_its_submitter_erases_it_once_and_for_all(alice: Caller, bob: Caller) -> None:
    task_id = alice.submit(message(parameters={"s": SECRET}, labels={"s": SECRET}))
    alice.finished(task_id)
    assert erase(bob, task_id).status_code == 404
    erased = erase(alice, task_id)
    assert erased.status_code == 200
    assert erased.json()["task_id"] == task_id
    assert erase(alice, task_id).json() == erased.json()
    history = alice.history(task_id)
    assert {item["message"] for item in history} == {None}
    assert {len(item["message_digest"]) for item in history} == {64}
    assert {item["erased_at"] for item in history} != {None}
    status = alice.get(task_id)
    assert status.json()["body"]["status"] == "Completed"
    assert details(status.json())["result"] is None
    stream = alice.http.get(f"/v1/tasks/{task_id}/events").text
    for text in (status.text, str(history), stream, alice.http.get("/v1/tasks").text):
        assert SECRET not in text
    result = alice.http.get(f"/v1/tasks/{task_id}/result")
    assert (result.status_code, result.headers["content-type"]) == (409, PROBLEM)
    assert result.json()["type"].endswith("content-erased")


def test_an_admin_may_and_is_named(alice: Caller, admin: Caller) -> None:
    task_id = alice.submit(message())
    alice.finished(task_id)
    assert erase(admin, task_id).json()["erased_by"] != erase(alice, task_id).json()["task_id"]
    assert erase(admin, task_id).json() == erase(alice, task_id).json()


def test_a_task_that_is_not_over_is_left(alice: Caller) -> None:
    task_id = alice.submit(sleeping())
    refused = erase(alice, task_id)
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("not-over")
    alice.cancel(task_id)
    alice.finished(task_id)
    assert erase(alice, task_id).status_code == 200
    retried = alice.http.post(f"/v1/tasks/{task_id}/retry")
    assert retried.status_code == 409
    assert retried.json()["type"].endswith("content-erased")


def test_the_same_message_again_is_still_the_same_task(alice: Caller) -> None:
    sent = message(parameters={"n": 1})
    task_id = alice.submit(sent)
    alice.finished(task_id)
    erase(alice, task_id)
    again = alice.http.post("/v1/tasks", json=sent)
    assert again.status_code == 200
    assert details(again.json())["task_id"] == task_id
