"""What `watch` shows on the way, in a terminal and elsewhere."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest

from app.cli import following, watch
from app.cli.failures import ExitCode
from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService, status_message


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSE_S", 0)


SAID = "waits for 1 cpu; 3 tasks are ahead; expected in about 40 s"
EXPLAINED = Answer(body={"task_id": "id", "status": "ResourceAllocation", "explanation": SAID, "waiting": None})


def script(scripted: ScriptedService, last: str = "Completed", *, in_words: bool = True) -> None:
    waiting = {"reason": "insufficient", "missing": {"cpu": 1}, "position": 4}
    scripted.answer(
        Answer(body=status_message("ResourceAllocation", waiting=waiting), headers={"ETag": '"1"'}),
        *([EXPLAINED] if in_words else []),
        Answer(503, {"title": "draining"}),
        Answer(503, {"title": "draining"}),
        Answer(
            body=status_message("Executing", progress=0.5, progress_details={"step": "transform"}),
            headers={"ETag": '"2"'},
        ),
        Answer(body=status_message(last, progress=1.0, result={"rows": 7})),
    )


def test_each_change_is_a_line_where_there_is_no_terminal(run: Run, scripted: ScriptedService) -> None:
    script(scripted)
    ended = run("watch", "id")
    assert ended.code == 0
    assert ended.err.splitlines() == [
        "ResourceAllocation  waits for 1 cpu; 3 tasks are ahead; expected in about 40 s",
        "the service cannot answer at the moment; trying again",
        "Executing 50%  step transform",
        "Completed",
    ]
    assert '"rows": 7' in ended.out


def test_why_it_waits_is_said_again_where_it_has_become_another_reason(run: Run, scripted: ScriptedService) -> None:
    nearer = SAID.replace("3 tasks are", "1 task is")
    scripted.answer(
        Answer(body=status_message("ResourceAllocation"), headers={"ETag": '"1"'}),
        EXPLAINED,
        Answer(304, b""),
        EXPLAINED,
        Answer(304, b""),
        Answer(body={**EXPLAINED.body, "explanation": nearer}),
        Answer(304, b""),
        Answer(404, {"title": "not so fast"}),
        Answer(body=status_message("Completed")),
    )
    lines = run("watch", "id").err.splitlines()
    assert lines == [
        f"ResourceAllocation  {SAID}",
        f"ResourceAllocation  {nearer}",
        "ResourceAllocation",
        "Completed",
    ]


def test_json_is_one_line_a_change(run: Run, scripted: ScriptedService) -> None:
    script(scripted, last="Failed", in_words=False)
    ended = run("watch", "id", "--json")
    assert ended.code == 1
    states = [json.loads(line)["body"]["status"] for line in ended.out.splitlines()]
    assert states == ["ResourceAllocation", "Executing", "Failed"]


def drawn(scripted: ScriptedService, term: str) -> tuple[bytes, bytes]:
    """What the real program draws on a terminal of its own, and its result: only there is a bar drawn."""
    script(scripted)
    master, slave = pty.openpty()
    environment = {**os.environ, "TASK_EXECUTOR_URL": scripted.url, "TERM": term, "COLUMNS": "160"}
    with subprocess.Popen(
        [sys.executable, "-m", "app", "watch", "id"], stdout=subprocess.PIPE, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 4096):
                shown += chunk
        except OSError:
            pass  # How Linux tells that nobody holds the other end any more.
        assert process.stdout is not None
        result = process.stdout.read()
    os.close(master)
    assert process.returncode == 0
    return shown, result


def test_a_terminal_has_a_bar(scripted: ScriptedService) -> None:
    shown, result = drawn(scripted, "xterm")
    assert b"ResourceAllocation" in shown
    assert "━".encode() in shown
    assert b"\x1b[?25h" in shown, "the cursor must be shown again"
    assert b'"rows": 7' in result


def test_a_terminal_that_cannot_draw_has_lines(scripted: ScriptedService) -> None:
    shown, _ = drawn(scripted, "dumb")
    assert shown.decode().split("\r\n")[0].startswith("ResourceAllocation")
    assert b"\x1b" not in shown


def test_ctrl_c_leaves_the_task_running_and_says_so(
    run: Run, scripted: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    scripted.answer(Answer(body=status_message("Executing")))
    monkeypatch.setattr(watch._Lines, "update", interrupted)
    ended = run("watch", "some-id")
    assert ended.code == ExitCode.INTERRUPTED
    assert "task-executor cancel some-id" in ended.err
    assert [asked.method for asked in scripted.asked] == ["GET"]


def test_details_that_are_long_or_hostile_fit_beside_the_bar(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(
        Answer(body=status_message("Executing", progress=0.1, progress_details={"step": "\x1b[2J" + "x" * 500})),
        Answer(body=status_message("Completed")),
    )
    first = io.StringIO(run("watch", "id").err).readline()
    assert "\x1b" not in first
    assert len(first) < 100
