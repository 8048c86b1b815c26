"""What a service says when it is ready can be typed as it stands."""

import sys
from pathlib import Path

import pytest

from app.cli.welcome import welcome
from app.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8000"


def commands(text: str) -> list[str]:
    """What stands behind the two invitations to type something."""
    return [line[26:] for line in text.splitlines() if line.startswith(("  Get a token", "  Submit a first"))]


@pytest.mark.parametrize(
    ("called", "found", "expected"),
    [
        (".venv/bin/task-executor", None, ".venv/bin/task-executor"),
        (".venv/bin/task-executor", "/usr/bin/task-executor", "task-executor"),
        ("app/__main__.py", None, f"{sys.executable} -m app"),
    ],
)
def test_the_program_is_called_as_it_can_be(
    monkeypatch: pytest.MonkeyPatch, called: str, found: str | None, expected: str
) -> None:
    monkeypatch.setattr("sys.argv", [called, "serve"])
    monkeypatch.setattr("shutil.which", lambda _name: found)
    monkeypatch.delenv("TASK_EXECUTOR_DATA_DIR")
    assert commands(welcome(DEFAULT_URL, Settings())) == [
        f"{expected} token",
        f"{expected} submit --type echo --param greeting=hello --wait",
    ]


def test_another_data_directory_and_another_port_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without them the token would be signed with the key of another service, and sent there."""
    directory = tmp_path / "the data"
    monkeypatch.setenv("TASK_EXECUTOR_DATA_DIR", str(directory))
    token, submit = commands(welcome("http://127.0.0.1:8001", Settings()))
    assert token.startswith(f"TASK_EXECUTOR_DATA_DIR='{directory}' ")
    assert submit.startswith(f"TASK_EXECUTOR_DATA_DIR='{directory}' ")
    assert submit.endswith(" --url http://127.0.0.1:8001")


def test_tokens_of_an_issuer_are_not_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_JWT_SECRET", "a secret of the issuer's, long enough")
    monkeypatch.setenv("TASK_EXECUTOR_JWT_ISSUER", "https://id.example.com")
    assert commands(welcome(DEFAULT_URL, Settings()))[0] == "from the issuer 'https://id.example.com'"
