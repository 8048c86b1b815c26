"""What `cancel` says."""

import pytest

from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService, status_message


@pytest.mark.parametrize(("state", "said"), [("Failed", "is cancelled"), ("Executing", "was told to stop")])
def test_queued_at_once_and_running_soon(run: Run, scripted: ScriptedService, state: str, said: str) -> None:
    scripted.answer(Answer(202, status_message(state)))
    ended = run("cancel", "some-id")
    assert ended.code == 0
    assert said in ended.out
    assert [(asked.method, asked.path) for asked in scripted.asked] == [("POST", "/v1/tasks/some-id/cancel")]


def test_a_task_that_is_over_is_refused(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(409, {"title": "The task is over"}))
    assert run("cancel", "some-id").code == 3
