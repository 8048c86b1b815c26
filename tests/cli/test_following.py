"""Following a task through whatever the service does meanwhile."""

import pytest

from app.cli import following
from app.cli.failures import CommandFailed, Refused, Unreachable
from app.cli.following import follow
from app.cli.service import Service
from tests.cli.scripted import Answer, ScriptedService, status_message

RUNNING = Answer(body=status_message("Executing"), headers={"ETag": '"5"'})
COMPLETED = Answer(body=status_message("Completed"), headers={"ETag": '"9"'})
UNCHANGED = Answer(304, b"")
AWAY = Answer(503, {"title": "draining"}, {"Retry-After": "1"})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSE_S", 0)


def states(scripted: ScriptedService, away: list[CommandFailed], *, answered: bool = False) -> list[str]:
    with Service(scripted.url, None) as service:
        return [task.state.value for task in follow(service, "id", away.append, answered=answered)]


def test_the_first_answer_is_wanted_at_once_and_the_next_when_something_is_new(scripted: ScriptedService) -> None:
    scripted.answer(RUNNING, UNCHANGED, COMPLETED)
    assert states(scripted, []) == ["Executing", "Completed"]
    first, second, third = (asked.headers for asked in scripted.asked)
    assert "Prefer" not in first
    for headers in (second, third):
        assert (headers["Prefer"], headers["If-None-Match"]) == (f"wait={following.WAIT_S}", '"5"')


def test_a_terminal_task_is_asked_for_once(scripted: ScriptedService) -> None:
    scripted.answer(COMPLETED)
    assert states(scripted, []) == ["Completed"]
    assert len(scripted.asked) == 1


def test_a_service_that_restarts_is_waited_for(scripted: ScriptedService) -> None:
    away: list[CommandFailed] = []
    scripted.answer(RUNNING, Answer(drop=True), AWAY, COMPLETED)
    assert states(scripted, away) == ["Executing", "Completed"]
    assert [type(failure) for failure in away] == [Unreachable, Refused]


def test_nobody_who_has_never_answered_is_waited_for(scripted: ScriptedService) -> None:
    scripted.answer(Answer(drop=True), COMPLETED)
    with pytest.raises(Unreachable):
        states(scripted, [])
    assert len(scripted.asked) == 1


def test_who_took_the_submission_is_waited_for_from_the_beginning(scripted: ScriptedService) -> None:
    scripted.answer(Answer(drop=True), COMPLETED)
    assert states(scripted, [], answered=True) == ["Completed"]


def test_a_service_that_stays_away_is_given_up(scripted: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE_S", -1)
    scripted.answer(AWAY)
    with pytest.raises(Refused):
        states(scripted, [])


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_no_that_will_stay_one_ends_it(scripted: ScriptedService, status: int) -> None:
    scripted.answer(Answer(status, {"title": "no"}))
    with pytest.raises(Refused):
        states(scripted, [])
    assert len(scripted.asked) == 1
