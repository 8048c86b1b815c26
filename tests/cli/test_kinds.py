"""What `kinds` asks for and shows."""

import pytest

from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService


def test_the_list(run: Run, scripted: ScriptedService) -> None:
    paused = {"type": "echo", "paused": True, "paused_at": "2026-01-31T10:00:00.000000Z", "paused_by": "root"}
    scripted.answer(Answer(200, {"items": [paused]}), Answer(200, {"items": []}))
    assert run("kinds", "paused").out == "echo is paused since 2026-01-31T10:00:00.000000Z, by root\n"
    assert run("kinds", "paused").out == "No kind of task is paused.\n"


@pytest.mark.parametrize(("wish", "paused", "said"), [("pause", True, "is paused"), ("resume", False, "is not paused")])
def test_a_wish_goes_to_the_service(run: Run, scripted: ScriptedService, wish: str, paused: bool, said: str) -> None:
    scripted.answer(Answer(200, {"type": "echo", "paused": paused}))
    ended = run("kinds", wish, "echo")
    assert (ended.code, ended.out) == (0, f"echo {said}.\n")
    assert [(asked.method, asked.path) for asked in scripted.asked] == [("POST", f"/v1/admin/task-types/echo/{wish}")]
