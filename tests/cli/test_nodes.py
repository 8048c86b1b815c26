"""What `nodes` asks for and shows."""

import pytest

from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService

NODE = {"node": "node-1", "mode": "paused", "running": 2, "waiting": 0, "capacity": {"cpu": 4}, "allocated": {"cpu": 1}}


def test_the_list(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, {"items": [NODE], "next_cursor": None}))
    ended = run("nodes", "list")
    assert ended.code == 0
    assert ended.out.splitlines()[1].split() == ["node-1", "paused", "2", "0", "cpu=4", "cpu=1"]


@pytest.mark.parametrize("wish", ["pause", "drain", "resume"])
def test_a_wish_goes_to_the_service(run: Run, scripted: ScriptedService, wish: str) -> None:
    scripted.answer(Answer(200, NODE))
    ended = run("nodes", wish, "node/1")
    assert (ended.code, ended.out) == (0, "Node node-1 is paused; 2 tasks run there.\n")
    assert [(asked.method, asked.path) for asked in scripted.asked] == [("POST", f"/v1/admin/nodes/node%2F1/{wish}")]
