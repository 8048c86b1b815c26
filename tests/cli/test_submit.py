"""What `submit` sends, and what it says."""

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService, status_message

ACCEPTED = Answer(202, status_message("ResourceAllocation"))


class Stdin:
    """Standard input with bytes in it."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_options_become_the_message(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(ACCEPTED)
    ended = run("submit", "--type", "echo", "--param", "n=3", "--priority", "-5", "--label", "team=a", "--resource",
                "cpu=2", "--message-id", "mine", "--timeout", "90s", "--max-attempts", "2")  # fmt: skip
    assert ended.code == 0
    assert "019a0000-0000-7000-8000-000000000000 is accepted" in ended.out
    message = json.loads(scripted.asked[0].body)
    assert message["header"]["message_id"] == "mine"
    assert message["body"] == {
        "task_specification": {
            "type": "echo",
            "parameters": {"n": 3},
            "resources": {"cpu": 2},
            "timeout_s": 90,
            "retry": {"max_attempts": 2},
            "labels": {"team": "a"},
        },
        "priority": -5,
    }


def test_every_message_has_an_id_of_its_own(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(ACCEPTED)
    for _ in range(2):
        run("submit", "--type", "echo")
    first, second = (json.loads(asked.body)["header"]["message_id"] for asked in scripted.asked)
    assert first != second


def test_parameters_of_a_file_with_single_ones_over_them(run: Run, scripted: ScriptedService, tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    file.write_text('{"a": 1, "b": 2}')
    scripted.answer(ACCEPTED)
    run("submit", "--type", "echo", "--parameters", str(file), "--param", "b=3")
    assert json.loads(scripted.asked[0].body)["body"]["task_specification"]["parameters"] == {"a": 1, "b": 3}


def test_a_whole_message_is_sent_byte_for_byte(
    run: Run, scripted: ScriptedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b'{ "big": 123456789012345678901234567890 }\n'
    file = tmp_path / "message.json"
    file.write_bytes(content)
    scripted.answer(ACCEPTED)
    run("submit", str(file))
    monkeypatch.setattr(sys, "stdin", Stdin(content))
    run("submit", "-")
    assert [asked.body for asked in scripted.asked] == [content, content]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["file.json", "--type", "echo"],
        ["file.json", "--param", "a=1"],
        ["no-such-file.json"],
        ["--type", "echo", "--param", "a"],
        ["--type", "echo", "--deadline", "later"],
    ],
)
def test_what_makes_no_message_is_not_sent(run: Run, scripted: ScriptedService, arguments: list[str]) -> None:
    assert run("submit", *arguments).code == 2
    assert scripted.asked == []


def test_an_empty_message_is_not_sent(run: Run, scripted: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(b"\n"))
    ended = run("submit", "-")
    assert (ended.code, ended.err) == (2, "stdin is empty: JSON was expected.\n")
    assert scripted.asked == []


def test_a_replay_says_so(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, status_message("Completed"), {"Idempotent-Replayed": "true"}))
    assert "was there already" in run("submit", "--type", "echo").out


def test_json_is_the_services_own(run: Run, scripted: ScriptedService) -> None:
    body = json.dumps(status_message("ResourceAllocation", result=2**90)).encode()
    scripted.answer(Answer(202, body))
    assert run("submit", "--type", "echo", "--json").out == body.decode() + "\n"


def test_validate_only_shows_what_would_happen(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(Answer(200, {"valid": True, "expected_start": "now"}))
    ended = run("submit", "--type", "echo", "--validate-only")
    assert json.loads(ended.out) == {"valid": True, "expected_start": "now"}
    assert scripted.asked[0].path.endswith("?validate_only=true")


def test_errors_are_shown_with_their_pointers(run: Run, scripted: ScriptedService) -> None:
    errors = [{"pointer": "/body/priority", "detail": "must be an integer"}]
    scripted.answer(Answer(422, {"title": "Not acceptable", "errors": errors}))
    ended = run("submit", "--type", "echo")
    assert ended.code == 3
    assert "  /body/priority: must be an integer" in ended.err.splitlines()


@pytest.mark.parametrize(("state", "code"), [("Completed", 0), ("Failed", 1), ("Rejected", 1)])
def test_wait_ends_as_the_task_does(run: Run, scripted: ScriptedService, state: str, code: int) -> None:
    scripted.answer(ACCEPTED, Answer(200, status_message(state, result={"answer": 42})))
    ended = run("submit", "--type", "echo", "--wait")
    assert ended.code == code
    assert '"answer": 42' in ended.out
