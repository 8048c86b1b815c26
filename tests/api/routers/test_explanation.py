"""Why a task waits, in words, over HTTP."""

from tests.api.caller import Caller, details, sleeping


def test_a_task_that_waits_says_why_in_words_and_as_data(alice: Caller, licence_holder: str) -> None:
    waiting = alice.submit(sleeping(1))
    answer = alice.get(waiting, "/explanation")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["task_id"], found["status"]) == (waiting, "ResourceAllocation")
    assert found["explanation"].startswith("waits for 1 licence; held by 1 task; it is next")
    shown = details(alice.get(waiting).json())["waiting"]
    # When it is expected to start moves on with the clock.
    moving = {"expected_start", "expected_start_range"}
    assert {name: found["waiting"][name] for name in found["waiting"].keys() - moving} == {
        name: shown[name] for name in shown.keys() - moving
    }
    alice.cancel(waiting)
    ended = alice.get(waiting, "/explanation").json()
    assert ended["waiting"] is None
    assert ended["explanation"] == "has ended as Failed (cancelled): the task was cancelled"


def test_another_ones_task_is_not_there(alice: Caller, bob: Caller, licence_holder: str) -> None:
    waiting = alice.submit(sleeping(1))
    assert bob.get(waiting, "/explanation").status_code == 404
    alice.cancel(waiting)
