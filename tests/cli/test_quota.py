"""What `quota` shows and sets."""

import json

from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService

USED = {"queued": 3, "running": 1, "held": {"cpu": 0.5}, "stored_bytes": 1234}
LIMITS = {"queued": 10, "running": None, "held": {"cpu": 2}, "stored_bytes": None, "rate": "60/minute", "weight": 2.0}
OWN = {
    "submitter": "alice",
    "limits": LIMITS,
    "used": USED,
    "rate": {"limit": 60, "window_s": 60, "remaining": 59, "reset_s": 1},
    "consumed": {"tasks": 2, "cpu_s": 1.5, "peak_memory_mb": 60},
}
SET = {
    "submitter": "bob/x",
    "quota": LIMITS,
    "in_force": LIMITS,
    "used": USED,
    "set_at": "2026-01-31T10:00:00Z",
    "set_by": "root",
}


def test_ones_own(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, OWN))
    ended = run("quota")
    assert ended.code == 0
    for shown in ("3", "10", "cpu=0.5", "cpu=2", "unlimited", "59 left", "60/minute", "1.5 s of CPU"):
        assert shown in ended.out
    assert scripted.asked[0].path == "/v1/quota"


def test_set_show_remove(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, SET))
    for command in (["set", "bob/x", '{"running": 4}'], ["show", "bob/x"], ["remove", "bob/x"]):
        ended = run("quota", *command)
        assert ended.code == 0, ended.err
        assert "3 of 10" in ended.out
    asked = [(each.method, each.path) for each in scripted.asked]
    assert asked == [(method, "/v1/admin/quotas/bob%2Fx") for method in ("PUT", "GET", "DELETE")]
    assert json.loads(scripted.asked[0].body) == {"running": 4}


def test_the_list(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, {"items": [SET], "next_cursor": None}))
    ended = run("quota", "list")
    assert ended.code == 0
    assert "bob/x" in ended.out
    assert "root" in ended.out


def test_what_is_no_json_is_not_sent(run: Run, scripted: ScriptedService) -> None:
    ended = run("quota", "set", "bob", "running=4")
    assert ended.code == 2
    assert "must be JSON" in ended.err
    assert scripted.asked == []


def test_json_as_it_came(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, OWN))
    assert json.loads(run("quota", "--json").out) == OWN
