"""What `webhooks` asks the service, and says."""

import json

from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService

ATTEMPT = {
    "attempt": 1,
    "sequence": 2,
    "attempted_at": "2026-01-31T10:00:00.000000Z",
    "outcome": "5xx",
    "duration_ms": 12,
    "next_attempt_at": None,
}
DELIVERY = {
    "task_id": "some-id",
    "submitter": "alice",
    "state": "dead",
    "url": "https://hooks.example.com/tasks",
    "delivered_sequence": 2,
    "last_sequence": 8,
    "failures": 3,
    "last_outcome": "5xx",
    "waiting_since": None,
    "next_attempt_at": None,
}


def asked(scripted: ScriptedService) -> list[tuple[str, str]]:
    return [(each.method, each.path) for each in scripted.asked]


def test_the_log_of_a_task(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, {**DELIVERY, "items": [ATTEMPT], "next_cursor": None}))
    ended = run("webhooks", "log", "some-id")
    assert ended.code == 0
    assert "dead: 2 of 8 has arrived" in ended.out
    assert "5xx" in ended.out
    assert asked(scripted) == [("GET", "/v1/tasks/some-id/deliveries")]


def test_a_task_without_a_callback(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, {**DELIVERY, "state": None, "items": [], "next_cursor": None}))
    assert "no callback" in run("webhooks", "log", "some-id").out


def test_sending_again(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(202, {**DELIVERY, "state": "active"}))
    assert run("webhooks", "redeliver", "some-id", "--from", "5").code == 0
    assert asked(scripted) == [("POST", "/v1/tasks/some-id/deliveries/redeliver")]
    assert json.loads(scripted.asked[0].body) == {"sequence": 5}


def test_the_secret_alone_is_printed(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(201, {"secret_id": "1", "secret": "whsec_abc", "created_at": "2026-01-31T10:00:00Z"}))
    assert run("webhooks", "secret", "--overlap", "0").out == "whsec_abc\n"
    assert json.loads(scripted.asked[0].body) == {"overlap_s": 0}


def test_what_fails_and_taking_it_up_again(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, {"items": [DELIVERY], "next_cursor": None}), Answer(202, {"redelivered": 1}))
    assert "alice" in run("webhooks", "failing", "--state", "dead").out
    assert "1 go on" in run("webhooks", "revive", "--state", "dead").out
    assert json.loads(scripted.asked[1].body) == {"state": "dead"}


def test_neither_tasks_nor_a_state_is_refused(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(422, {"title": "Not acceptable", "detail": "must name either task_ids or state"}))
    assert run("webhooks", "revive").code == 3
    assert json.loads(scripted.asked[0].body) == {}
