"""What `explain` says."""

from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService

EXPLAINED = {"task_id": "some-id", "status": "ResourceAllocation", "explanation": "waits for 1 cpu", "waiting": None}


def test_in_words_and_as_it_came(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, EXPLAINED))
    ended = run("explain", "some-id")
    assert (ended.code, ended.out) == (0, "Task some-id waits for 1 cpu.\n")
    assert [(asked.method, asked.path) for asked in scripted.asked] == [("GET", "/v1/tasks/some-id/explanation")]
    assert '"waits for 1 cpu"' in run("explain", "some-id", "--json").out
