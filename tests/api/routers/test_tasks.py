import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.caller import LICENCE, PROBLEM, PROTOCOL_EXAMPLE, Caller, Json, at, details, message, pointers, sleeping


def todays_example(message_id: str = "task-123") -> Json:
    example: Json = json.loads(json.dumps(PROTOCOL_EXAMPLE))
    example["header"] = {"message_id": message_id, "timestamp": at()}
    example["body"]["deadline"] = at(minutes=30)
    return example


# -- submit ---------------------------------------------------------------------------------------


def test_the_protocols_example_of_today_is_accepted_and_completes(alice: Caller) -> None:
    response = alice.post(todays_example())
    assert response.status_code == 202
    status = response.json()
    task_id = details(status)["task_id"]
    assert response.headers["location"] == f"/v1/tasks/{task_id}"
    assert response.headers["retry-after"] == "1"
    assert response.headers["content-type"] == "application/json"
    assert status["type"] == "task_status"
    assert status["header"]["reference_id"] == "task-123"
    assert details(status)["submitter"] == alice.subject

    done = alice.finished(task_id)
    assert done["body"]["status"] == "Completed"
    assert done["body"]["progress"] == 1
    result = details(done)["result"]
    assert (result["input_rows"], result["output_rows"], result["rejected"]["total"]) == (1200, 8, 31)
    assert details(done)["resources"]["allocated"] == {}


def test_the_protocols_example_as_printed_is_rejected_by_its_deadline_and_kept(alice: Caller) -> None:
    response = alice.post(PROTOCOL_EXAMPLE)
    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM
    assert pointers(response) == ["/body/deadline"]
    assert "has passed" in response.json()["errors"][0]["detail"]

    task_id = response.json()["task_id"]
    kept = alice.get(task_id).json()
    assert kept["body"]["status"] == "Rejected"
    assert details(kept)["reason"] == "validation_failed"
    assert details(kept)["error"]["errors"] == response.json()["errors"]
    assert details(kept)["deadline"] == "2024-03-21T10:30:00.000000Z"
    assert [item["name"] for item in alice.history(task_id)] == ["SubmitTask", "TaskRejected"]


def test_a_rejected_message_leaves_its_id_to_the_corrected_one(alice: Caller) -> None:
    assert alice.post(PROTOCOL_EXAMPLE).status_code == 422
    assert alice.post(todays_example()).status_code == 202


def test_the_same_message_again_is_answered_with_its_task(alice: Caller) -> None:
    sent = message(parameters={"a": 1, "b": 2})
    first = alice.post(sent)
    again = alice.post(sent)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["location"] == first.headers["location"]
    assert details(again.json())["task_id"] == details(first.json())["task_id"]


def test_order_of_members_white_space_and_a_new_timestamp_make_no_other_content(alice: Caller) -> None:
    sent = message(parameters={"a": 1, "b": 2})
    alice.submit(sent)
    sent["header"]["timestamp"] = at(seconds=1)
    sent["body"] = dict(reversed(sent["body"].items()))
    sent["body"]["task_specification"]["parameters"] = {"b": 2, "a": 1}
    assert alice.post(json.dumps(sent, indent=3).encode()).status_code == 200


def test_the_same_id_with_other_content_is_a_conflict(alice: Caller, bob: Caller) -> None:
    task_id = alice.submit(message(parameters={"a": 1}, message_id="mine"))
    other = message(parameters={"a": 2}, message_id="mine")
    refused = alice.post(other)
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:task-executor:problem:message-id-reused"
    assert refused.json()["task_id"] == task_id
    assert pointers(refused) == ["/header/message_id"]
    assert bob.post(other).status_code == 202, "a message_id is unique per submitter only"


def test_an_idempotency_key_takes_the_place_of_the_message_id(alice: Caller) -> None:
    first = alice.post(message(parameters={"a": 1}), Idempotency_Key="k-1")
    again = alice.post(message(parameters={"a": 1}), Idempotency_Key='"k-1"')
    other = alice.post(message(parameters={"a": 2}), Idempotency_Key="k-1")
    assert [answer.status_code for answer in (first, again, other)] == [202, 200, 409]
    assert again.headers["location"] == first.headers["location"]


def test_one_message_id_under_two_keys_makes_two_tasks(alice: Caller) -> None:
    sent = message()
    assert [alice.post(sent, Idempotency_Key=key).status_code for key in ("a", "b")] == [202, 202]


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\tb", "é"])
def test_an_idempotency_key_that_is_none_is_refused(alice: Caller, key: str) -> None:
    response = alice.http.post("/v1/tasks", json=message(), headers=[(b"Idempotency-Key", key.encode())])
    assert response.status_code == 422
    assert response.json()["type"].endswith("invalid-idempotency-key")


def test_two_idempotency_keys_are_refused(alice: Caller) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert alice.http.post("/v1/tasks", json=message(), headers=headers).status_code == 422


def test_fifty_at_once_make_one_task(alice: Caller) -> None:
    sent = message(parameters={"n": 1})
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: alice.post(sent), range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    assert len({details(answer.json())["task_id"] for answer in answers}) == 1
    assert len(alice.http.get("/v1/tasks").json()["items"]) == 1


def test_numbers_come_back_exactly_as_they_were_sent(alice: Caller) -> None:
    text = f'{{"huge":{"9" * 100},"negative":-{"1" * 60},"fraction":0.1,"beyond":9007199254740993}}'
    sent = json.dumps(message()).replace('"parameters": {}', f'"parameters": {text}')
    response = alice.post(sent.encode())
    assert response.status_code == 202
    task_id = details(response.json())["task_id"]
    alice.finished(task_id)
    assert alice.get(task_id, "/result").text == text


def test_text_of_any_script_comes_back(alice: Caller) -> None:
    parameters: Json = {"ключ": '😀 \u2028 é \\u0000 "quoted"', "": [None, True, {}]}
    task_id = alice.submit(message(parameters=parameters, message_id="名前-1", labels={"team": "日本"}))
    done = alice.finished(task_id)
    assert details(done)["result"] == parameters
    assert done["header"]["reference_id"] == "名前-1"
    assert details(done)["labels"] == {"team": "日本"}


# -- validate_only --------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_happen_and_keeps_nothing(alice: Caller) -> None:
    sent = message("sleep", {"seconds": 0}, resources={"cpu": 0.5}, priority=7)
    response = alice.post(sent, "?validate_only=true")
    assert response.status_code == 200
    assert "location" not in response.headers
    answer = response.json()
    assert answer["valid"] is True
    assert (answer["type"], answer["priority"], answer["replay_of"]) == ("sleep", 7, None)
    assert answer["resources"] == {"requested": {"cpu": 0.5, "memory_mb": 1}, "free": True}
    assert answer["expected_start"] is not None
    assert alice.http.get("/v1/tasks").json()["items"] == []

    task_id = alice.submit(sent)
    assert alice.post(sent, "?validate_only=1").json()["replay_of"] == task_id
    sent["body"]["priority"] = 8
    assert alice.post(sent, "?validate_only=true").status_code == 409


def test_a_dry_run_of_a_wrong_message_keeps_no_rejected_task(alice: Caller) -> None:
    response = alice.post(message("sleep", {"seconds": -1}), "?validate_only=true")
    assert response.status_code == 422
    assert pointers(response) == ["/body/task_specification/parameters/seconds"]
    assert "task_id" not in response.json()
    assert alice.http.get("/v1/tasks").json()["items"] == []


@pytest.mark.usefixtures("licence_holder")
def test_a_dry_run_tells_that_resources_are_not_free(alice: Caller) -> None:
    answer = alice.post(sleeping(), "?validate_only=true").json()
    assert answer["resources"]["free"] is False
    assert answer["expected_start"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?validate_only=false", 202),
        ("?validate_only=0", 202),
        ("?", 202),
        ("?&", 202),
        ("?validate_only=maybe", 422),
        ("?validate_only=", 422),
        ("?validate_onyl=true", 422),
        ("?validate_only=true&more=1", 422),
    ],
)
def test_the_query_of_submit_is_read_strictly(alice: Caller, query: str, expected: int) -> None:
    assert alice.post(message(), query).status_code == expected


# -- status ---------------------------------------------------------------------------------------


def test_a_status_has_a_strong_etag_and_304_while_nothing_changes(alice: Caller) -> None:
    task_id = alice.submit(message())
    alice.finished(task_id)
    response = alice.get(task_id)
    etag = response.headers["etag"]
    assert etag.startswith('"')
    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = alice.get(task_id, If_None_Match=sent)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == etag
    assert alice.get(task_id, If_None_Match='"0"').status_code == 200


@pytest.mark.usefixtures("licence_holder")
def test_retry_after_is_said_until_the_task_is_over(alice: Caller) -> None:
    task_id = alice.submit(sleeping(0))
    waiting = alice.get(task_id)
    assert waiting.headers["retry-after"] == "1"
    assert waiting.json()["body"]["status"] == "ResourceAllocation"
    reason = details(waiting.json())["waiting"]
    assert reason["reason"] == "insufficient"
    assert reason["missing"] == LICENCE
    assert (reason["held_by"], reason["held_by_others"]) == ([], 1), "whose task it is, is not theirs to know"
    assert reason["position"] == 1
    over = alice.cancel(task_id)
    assert "retry-after" not in over.headers
    assert "retry-after" not in alice.get(task_id).headers


def test_a_long_poll_wakes_when_the_task_changes(alice: Caller, admin: Caller, licence_holder: str) -> None:
    task_id = alice.submit(sleeping(0))
    known = alice.get(task_id)
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(alice.get, task_id, Prefer="wait=20", If_None_Match=known.headers["etag"])
        admin.cancel(licence_holder)
        changed = poll.result()
    assert changed.status_code == 200
    assert changed.headers["preference-applied"] == "wait=20"
    assert details(changed.json())["sequence"] > details(known.json())["sequence"]
    assert alice.finished(task_id)["body"]["status"] == "Completed"


def test_a_long_poll_returns_at_once_where_the_task_is_over_or_another_than_known(
    alice: Caller, licence_holder: str, admin: Caller
) -> None:
    """The client gives up after 30 seconds: an answer that is held back for 60 fails the test."""
    over = alice.submit(message())
    alice.finished(over)
    assert alice.get(over, Prefer="wait=60").status_code == 200
    stale = admin.get(licence_holder, Prefer="respond-async, wait=60", If_None_Match='"1"')
    assert stale.status_code == 200
    assert stale.json()["body"]["status"] == "Executing"


def test_a_wait_of_nothing_is_no_wait(alice: Caller, licence_holder: str, admin: Caller) -> None:
    response = admin.get(licence_holder, Prefer="wait=0")
    assert response.headers["preference-applied"] == "wait=0"


@pytest.mark.parametrize("preference", ["wait=", "wait=x", "wait=-1", "handling=lenient", "wait"])
def test_a_preference_that_is_not_understood_is_ignored(alice: Caller, preference: str) -> None:
    task_id = alice.submit(message())
    response = alice.get(task_id, Prefer=preference)
    assert response.status_code == 200
    assert "preference-applied" not in response.headers


@pytest.mark.parametrize("rest", ["", "/result", "/messages"])
def test_anothers_task_and_none_are_the_same(alice: Caller, bob: Caller, rest: str) -> None:
    task_id = alice.submit(message())
    absent = "01890000-0000-7000-8000-000000000000"
    answers = [bob.get(name, rest) for name in (task_id, absent, "nothing", task_id.upper())]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert len({without_instance(answer) for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1


def test_anothers_task_cannot_be_cancelled(alice: Caller, bob: Caller) -> None:
    task_id = alice.submit(message())
    assert without_instance(bob.cancel(task_id)) == without_instance(bob.cancel("nothing"))
    assert alice.finished(task_id)["body"]["status"] == "Completed"


def without_instance(response: httpx.Response) -> str:
    body = response.json()
    assert body.pop("instance")
    return json.dumps(body)


def test_an_admin_sees_everybodys_tasks(alice: Caller, admin: Caller) -> None:
    assert admin.get(alice.submit(message())).status_code == 200


# -- cancel ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("licence_holder")
def test_a_queued_task_is_cancelled_at_once(alice: Caller) -> None:
    task_id = alice.submit(sleeping(0))
    response = alice.cancel(task_id)
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/tasks/{task_id}"
    assert response.json()["body"]["status"] == "Failed"
    assert details(response.json())["reason"] == "cancelled"
    assert alice.history(task_id)[-1]["name"] == "TaskFailed"


def test_a_running_task_is_told_and_ends(alice: Caller) -> None:
    task_id = alice.submit(message("sleep", {"seconds": 600}))
    alice.once(task_id, {"Executing"})
    assert alice.cancel(task_id).status_code == 202
    done = alice.finished(task_id)
    assert done["body"]["status"] == "Failed"
    assert details(done)["reason"] == "cancelled"
    names = [item["name"] for item in alice.history(task_id)]
    assert names.count("CancelTask") == 1
    assert names[-3:] == ["ReleaseResources", "ResourcesReleased", "TaskFailed"]


def test_a_task_that_is_over_cannot_be_cancelled(alice: Caller) -> None:
    task_id = alice.submit(message())
    alice.finished(task_id)
    response = alice.cancel(task_id)
    assert response.status_code == 409
    assert response.json()["type"].endswith("already-over")
    assert response.json()["task_id"] == task_id
