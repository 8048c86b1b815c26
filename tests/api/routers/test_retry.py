from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.caller import PROBLEM, Caller, Json, at, details, message, pointers, sleeping


def retry(caller: Caller, task_id: str, overrides: Json | None = None) -> httpx.Response:
    path = f"/v1/tasks/{task_id}/retry"
    return caller.http.post(path) if overrides is None else caller.http.post(path, json=overrides)


def submission(caller: Caller, task_id: str) -> Json:
    """The submit_task message in a task's history."""
    found: Json = caller.history(task_id)[0]["message"]
    return found


def cancelled(caller: Caller, content: Json) -> str:
    """The id of a task that has failed."""
    task_id = caller.submit(content)
    assert caller.cancel(task_id).status_code == 202
    assert caller.finished(task_id)["body"]["status"] == "Failed"
    return task_id


@pytest.fixture
def failed(alice: Caller) -> str:
    """A failed task of Alice's with something in every member."""
    members: Json = {
        "message_id": f"report-{alice.subject}",
        "priority": 7,
        "labels": {"team": "search"},
        "retry": {"max_attempts": 2},
        "timeout_s": 700,
        "resources": {"cpu": 0.02, "memory_mb": 2},
    }
    return cancelled(alice, message("sleep", {"seconds": 600}, **members))


def test_a_retry_is_a_new_task_from_the_old_message(alice: Caller, failed: str) -> None:
    response = retry(alice, failed)
    assert response.status_code == 202, response.text
    new = details(response.json())
    assert new["task_id"] != failed
    assert response.headers["location"] == f"/v1/tasks/{new['task_id']}"
    assert new["retry_of"] == failed
    assert (new["priority"], new["labels"], new["max_attempts"]) == (7, {"team": "search"}, 2)
    assert new["resources"]["requested"] == {"cpu": 0.02, "memory_mb": 2}
    old_message, new_message = submission(alice, failed), submission(alice, new["task_id"])
    assert new_message["body"] == old_message["body"]
    assert new_message["header"]["message_id"] == f"report-{alice.subject}~retry-{failed}"
    assert new_message["header"]["timestamp"] > old_message["header"]["timestamp"]
    assert details(alice.get(failed).json())["retry_of"] is None
    alice.cancel(new["task_id"])


def test_it_can_be_repeated_safely(alice: Caller, failed: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: retry(alice, failed), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert len({details(answer.json())["task_id"] for answer in answers}) == 1
    assert {answer.headers.get("idempotent-replayed") for answer in answers} == {None, "true"}
    again = retry(alice, failed, {})
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    other = retry(alice, failed, {"priority": 2})
    assert other.status_code == 409
    assert other.json()["type"].endswith(":message-id-reused")
    assert other.json()["task_id"] == details(again.json())["task_id"]
    alice.cancel(details(again.json())["task_id"])


def test_every_member_can_be_overridden(alice: Caller, failed: str) -> None:
    overrides: Json = {
        "message_id": f"again-{alice.subject}",
        "priority": -3,
        "deadline": at(hours=1),
        "parameters": {"seconds": 0},
        "resources": {"cpu": 0.03, "memory_mb": 3},
        "timeout_s": 9,
        "retry": {"max_attempts": 5},
        "labels": {"round": "2"},
    }
    response = retry(alice, failed, overrides)
    assert response.status_code == 202, response.text
    new = details(response.json())
    assert (new["priority"], new["labels"], new["max_attempts"]) == (-3, {"round": "2"}, 5)
    assert new["resources"]["requested"] == {"cpu": 0.03, "memory_mb": 3}
    assert alice.finished(new["task_id"])["body"]["status"] == "Completed"
    sent = submission(alice, new["task_id"])
    assert sent["header"]["message_id"] == overrides["message_id"]
    assert sent["body"]["deadline"] == overrides["deadline"]
    assert sent["body"]["task_specification"]["timeout_s"] == 9


def test_null_goes_back_to_the_defaults(alice: Caller, failed: str) -> None:
    response = retry(alice, failed, {"resources": None, "retry": None, "timeout_s": None, "parameters": {"seconds": 0}})
    new = details(response.json())
    assert new["resources"]["requested"] == {"cpu": 0.01, "memory_mb": 1}
    assert new["max_attempts"] == 3


@pytest.mark.usefixtures("licence_holder")
def test_a_deadline_that_has_passed_is_left_out(alice: Caller) -> None:
    task_id = alice.submit(sleeping(0, deadline=at(seconds=0.5)))
    assert details(alice.finished(task_id))["reason"] == "deadline_exceeded"
    response = retry(alice, task_id)
    assert response.status_code == 202, response.text
    assert details(response.json())["deadline"] is None
    passed = retry(alice, task_id, {"deadline": at(seconds=-5), "message_id": "other"})
    assert (passed.status_code, pointers(passed)) == (422, ["/deadline"])
    alice.cancel(details(response.json())["task_id"])


def test_a_repetition_finds_the_new_task_though_its_deadline_has_passed(alice: Caller) -> None:
    task_id = cancelled(alice, message("sleep", {"seconds": 600}))
    overrides = {"deadline": at(seconds=1)}
    first = retry(alice, task_id, overrides)
    assert first.status_code == 202, first.text
    assert details(alice.finished(details(first.json())["task_id"]))["reason"] == "deadline_exceeded"
    again = retry(alice, task_id, overrides)
    assert (again.status_code, details(again.json())["task_id"]) == (200, details(first.json())["task_id"])


def test_a_deadline_that_is_ahead_is_kept(alice: Caller) -> None:
    task_id = cancelled(alice, message("sleep", {"seconds": 600}, deadline=at(hours=1)))
    new = details(retry(alice, task_id).json())
    assert new["deadline"] == details(alice.get(task_id).json())["deadline"]
    alice.cancel(new["task_id"])


def test_a_retry_of_a_retry_keeps_the_name_short(alice: Caller) -> None:
    first = cancelled(alice, message("sleep", {"seconds": 600}, message_id="n" * 255))
    second = details(retry(alice, first).json())["task_id"]
    alice.cancel(second)
    alice.finished(second)
    third = details(retry(alice, second).json())["task_id"]
    alice.cancel(third)
    assert submission(alice, third)["header"]["message_id"] == "n" * 200 + f"~retry-{second}"
    assert details(alice.get(third).json())["retry_of"] == second


@pytest.mark.parametrize(
    ("overrides", "where"),
    [
        ({"priority": "high"}, ["/priority"]),
        ({"priority": None}, ["/priority"]),
        ({"deadline": "tomorrow"}, ["/deadline"]),
        ({"parameters": {"seconds": -1}}, ["/parameters/seconds"]),
        ({"parameters": {"minutes": 1, "seconds": 1}}, ["/parameters/minutes"]),
        ({"resources": {"cpu": 10_000}}, ["/resources/cpu"]),
        ({"retry": {"max_attempts": 0}}, ["/retry/max_attempts"]),
        ({"message_id": ""}, ["/message_id"]),
        ({"type": "echo"}, ["/type"]),
        ({"task_specification": {}, "body": {}}, ["/task_specification", "/body"]),
        ([], [""]),
    ],
)
def test_wrong_overrides_are_refused_by_name_and_nothing_is_kept(
    alice: Caller, failed: str, overrides: Json, where: list[str]
) -> None:
    response = alice.http.post(f"/v1/tasks/{failed}/retry", json=overrides)
    assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM), response.text
    assert pointers(response) == where
    assert len(alice.http.get("/v1/tasks").json()["items"]) == 1


def test_a_body_that_is_no_json_is_refused(alice: Caller, failed: str) -> None:
    path = f"/v1/tasks/{failed}/retry"
    assert alice.http.post(path, content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert alice.http.post(path, content=b"{}").status_code == 415
    assert alice.http.post(path, headers={"Content-Type": "application/json"}).status_code == 202
    alice.cancel(details(retry(alice, failed).json())["task_id"])


def test_only_a_failed_task_can_be_retried(alice: Caller) -> None:
    completed = alice.submit(message())
    alice.finished(completed)
    rejected = alice.post(message("no-such-type")).json()["task_id"]
    running = alice.submit(message("sleep", {"seconds": 600}))
    for task_id, state in ((completed, "Completed"), (rejected, "Rejected"), (running, None)):
        response = retry(alice, task_id)
        problem = response.json()
        assert (response.status_code, response.headers["content-type"]) == (409, PROBLEM)
        assert problem["type"].endswith(":not-failed")
        assert problem["task_status"] == state or state is None
    alice.cancel(running)


def test_anothers_task_is_not_there_and_an_admins_retry_is_the_submitters(
    alice: Caller, bob: Caller, admin: Caller, failed: str
) -> None:
    assert retry(bob, failed).status_code == 404
    new = details(retry(admin, failed).json())
    assert new["submitter"] == alice.subject
    again = retry(alice, failed)
    assert (again.status_code, details(again.json())["task_id"]) == (200, new["task_id"])
    alice.cancel(new["task_id"])


def test_numbers_survive_as_they_are(alice: Caller, licence_holder: str) -> None:
    parameters = {"big": 12345678901234567890123456789, "small": 1e-300, "text": "é\u2028"}
    task_id = cancelled(alice, message("echo", parameters, resources={"custom": {"licence": 1}}))
    new = details(retry(alice, task_id).json())["task_id"]
    assert submission(alice, new)["body"]["task_specification"]["parameters"] == parameters
    alice.cancel(new)
