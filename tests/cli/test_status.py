"""What `status` shows."""

import json

import pytest

from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService, status_message


@pytest.mark.parametrize(("state", "code"), [("Executing", 0), ("Completed", 0), ("Failed", 1), ("Rejected", 1)])
def test_the_exit_code_is_the_tasks(run: Run, scripted: ScriptedService, state: str, code: int) -> None:
    scripted.answer(Answer(body=status_message(state)))
    ended = run("status", "id")
    assert ended.code == code
    assert state in ended.out


def test_while_it_waits_the_service_says_why(run: Run, scripted: ScriptedService) -> None:
    said = "waits for its turn; at least 10,000 tasks are ahead"
    explanation = {"task_id": "id", "status": "ResourceAllocation", "explanation": said, "waiting": None}
    scripted.answer(Answer(body=status_message("ResourceAllocation")), Answer(body=explanation))
    assert said in run("status", "id").out
    assert [asked.path.rpartition("/")[2] for asked in scripted.asked][1:] == ["explanation"]


def test_json_is_the_services_own(run: Run, scripted: ScriptedService) -> None:
    body = json.dumps(status_message("Completed", result=2**90)).encode()
    scripted.answer(Answer(200, body))
    assert run("status", "id", "--json").out == body.decode() + "\n"


def test_something_else_at_the_address_is_a_sentence(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, b"<html>welcome</html>"))
    ended = run("status", "id")
    assert ended.code == 3
    assert "Task Executor at this address" in ended.err
