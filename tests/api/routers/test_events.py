import time
from pathlib import Path

import httpx
import pytest

from app.protocol.roles import Role
from app.security.issuing import issue
from app.security.own_key import own_signing_key
from tests.api.caller import PROBLEM, Caller, Callers, message, sleeping
from tests.delivery.streams import Reading, lines_of, read_all
from tests.support.service import Service

LAST = 8
"""Sequence of TaskCompleted of a task that did nothing but run."""


def read(caller: Caller, task_id: str, query: str = "", **headers: str) -> Reading:
    """A whole stream, to its end."""
    response = caller.get(task_id, f"/events{query}", **headers)
    assert response.status_code == 200, response.text
    return read_all(lines_of(response.text))


@pytest.fixture
def done(alice: Caller) -> str:
    """The id of a completed task of Alice's."""
    task_id = alice.submit(message())
    alice.finished(task_id)
    return task_id


def test_the_stream_of_a_finished_task_is_its_whole_history(alice: Caller, done: str) -> None:
    response = alice.get(done, "/events")
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    reading = read_all(lines_of(response.text))
    history = alice.history(done)
    assert reading.retry_ms == 1000
    assert [event.item for event in reading.events] == history
    assert [event.name for event in reading.events] == [item["name"] for item in history]
    assert reading.sequences == list(range(1, LAST + 1))


def test_a_stream_follows_a_task_to_its_end(alice: Caller) -> None:
    task_id = alice.submit(message("sleep", {"seconds": 0.5}))
    reading = read(alice, task_id)
    assert [event.item for event in reading.events] == alice.history(task_id)
    assert reading.events[-1].name == "TaskCompleted"
    assert "ProgressUpdate" in {event.name for event in reading.events}


@pytest.mark.usefixtures("licence_holder")
def test_the_end_of_a_queued_task_wakes_its_stream(alice: Caller) -> None:
    task_id = alice.submit(sleeping(0))
    with alice.http.stream("GET", f"/v1/tasks/{task_id}/events") as response:
        reading = Reading()
        for line in response.iter_lines():
            event = reading.line(line)
            if event is not None and event.name == "RequestResources":
                assert alice.cancel(task_id).status_code == 202
    assert [event.name for event in reading.events][-2:] == ["CancelTask", "TaskFailed"]


def test_the_exact_text_survives_line_breaks(alice: Caller) -> None:
    text = (
        b'{\n  "type": "submit_task",\n\n  "header": {"message_id": "broken", "timestamp": "2026-01-31T10:00:00Z"},\n'
        b'  "body": {"priority": 1, "task_specification": {"type": "echo", "parameters":\n{"a": "\\n\xe2\x80\xa8"}}}\n}'
    )
    task_id = alice.post(text).json()["body"]["details"]["task_id"]
    alice.finished(task_id)
    first = read(alice, task_id).events[0]
    assert f'"message":{text.decode()},"previous_hash"' in first.text
    assert (
        first.text == alice.get(task_id, "/messages?limit=1").text.removeprefix('{"items":[').partition('],"next_c')[0]
    )


def test_carriage_returns_become_line_feeds(alice: Caller) -> None:
    submission = message()
    text = str(submission).replace("'", '"').replace(", ", ",\r\n").encode()
    task_id = alice.post(text).json()["body"]["details"]["task_id"]
    alice.finished(task_id)
    reading = read(alice, task_id)
    assert reading.events[0].item["message"] == submission
    assert reading.sequences == list(range(1, LAST + 1))


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_stream_resumes_behind_what_was_received(alice: Caller, done: str, after: int) -> None:
    rest = list(range(after + 1, LAST + 1))
    assert read(alice, done, Last_Event_ID=str(after)).sequences == rest
    assert read(alice, done, f"?after={after}").sequences == rest
    # An EventSource that comes back sends both.
    assert read(alice, done, "?after=0", Last_Event_ID=str(after)).sequences == rest


def test_who_has_everything_is_told_not_to_come_back(alice: Caller, done: str) -> None:
    response = alice.get(done, "/events", Last_Event_ID=str(LAST))
    assert (response.status_code, response.content) == (204, b"")
    alice.http.post(f"/v1/tasks/{done}/acknowledgements", json={"sequence": LAST})
    assert [event.name for event in read(alice, done, Last_Event_ID=str(LAST)).events] == ["Acknowledge"]
    assert alice.get(done, "/events", Last_Event_ID=str(LAST + 1)).status_code == 204


@pytest.mark.parametrize("wrong", ["-1", "abc", "9", "2147483648", "9" * 400, "1.0", "\xb2", "0x1", "1,2"])
def test_a_last_event_id_that_this_stream_never_sent_is_refused(alice: Caller, done: str, wrong: str) -> None:
    sent = alice.http.get(f"/v1/tasks/{done}/events", headers={b"Last-Event-ID": wrong.encode("latin-1")})
    asked = alice.http.get(f"/v1/tasks/{done}/events", params={"after": wrong})
    assert (sent.status_code, sent.headers["content-type"]) == (400, PROBLEM)
    assert sent.json()["type"].endswith(":invalid-last-event-id")
    assert asked.status_code == 400


def test_two_of_them_and_an_unknown_parameter_are_refused(alice: Caller, done: str) -> None:
    path = f"/v1/tasks/{done}/events"
    assert alice.http.get(path, headers=[("Last-Event-ID", "1"), ("Last-Event-ID", "2")]).status_code == 400
    assert alice.http.get(path + "?after=1&after=2").status_code == 400
    assert alice.http.get(path + "?before=1").status_code == 422


def test_anothers_stream_is_not_there_and_an_admin_may(alice: Caller, bob: Caller, admin: Caller, done: str) -> None:
    assert bob.get(done, "/events").status_code == 404
    assert bob.get(done, "/events", Last_Event_ID="abc").status_code == 404
    assert bob.get("01a2092b-b65d-71ec-ad7b-8d8a9fb8c13b", "/events").status_code == 404
    assert read(admin, done).sequences == list(range(1, LAST + 1))


def test_a_rejected_task_has_a_stream_that_ends(alice: Caller) -> None:
    task_id = alice.post(message("no-such-type")).json()["task_id"]
    assert [event.name for event in read(alice, task_id).events] == ["SubmitTask", "TaskRejected"]


def test_a_stream_ends_when_the_token_does(wire: Service, alice: Caller) -> None:
    task_id = alice.submit(message("sleep", {"seconds": 600}))
    key = own_signing_key(Path(wire.environment["TASK_EXECUTOR_DATA_DIR"]))
    token = issue(key, alice.subject, [Role.SUBMITTER], 2, time.time())
    headers = {"Authorization": f"Bearer {token}"}
    response = httpx.get(f"{wire.url}/v1/tasks/{task_id}/events", headers=headers, timeout=30)
    reading = read_all(lines_of(response.text))
    assert [event.name for event in reading.events][:5][-1] == "ExecutionStarted"
    assert "TaskCompleted" not in {event.name for event in reading.events}
    assert "token has expired" in reading.comments[-1]
    alice.cancel(task_id)
    alice.finished(task_id)


def test_a_sixth_stream_of_a_task_is_refused_until_one_is_closed(callers: Callers, alice: Caller, bob: Caller) -> None:
    task_id = alice.submit(message("sleep", {"seconds": 600}))
    path = f"/v1/tasks/{task_id}/events"
    streams = [alice.http.stream("GET", path) for _ in range(5)]
    for stream in streams:
        assert stream.__enter__().status_code == 200
    try:
        refused = alice.http.get(path)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert refused.json()["type"].endswith(":too-many-streams")
        # Another subject, and another task, have places of their own.
        other = bob.submit(message())
        assert read(bob, other).events[-1].name == "TaskCompleted"
        assert read(alice, alice.submit(message())).events[-1].name == "TaskCompleted"
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)
    alice.cancel(task_id)
    alice.finished(task_id)
    assert read(alice, task_id).events[-1].name == "TaskFailed"
