"""The program as a whole: help, wrong words, and how it ends."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.failures import ExitCode
from app.cli.program import COMMANDS, SENTENCES, loaded
from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService
from tests.support.machine import free_port


def test_the_help_lists_every_command(run: Run) -> None:
    ended = run("--help")
    assert ended.code == 0
    for command in COMMANDS:
        assert command in ended.out


def test_the_version_of_the_program_and_of_the_protocol(run: Run) -> None:
    ended = run("--version")
    assert ended.code == 0
    assert re.fullmatch(r"task-executor \d+\.\d+\S* \(Task Execution Protocol 1\.0\.0\)\n", ended.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    ended = run(command, "--help")
    assert ended.code == 0
    assert command in ended.out


@pytest.mark.parametrize("words", [["dance"], ["status"], ["status", "a", "--colour"], ["list", "--limit", "0"]])
def test_wrong_words_are_a_usage_error(run: Run, words: list[str]) -> None:
    assert run(*words).code == 2


def test_nobody_there_is_exit_code_4(run: Run) -> None:
    ended = run("status", "a", "--url", f"http://127.0.0.1:{free_port()}")
    assert (ended.code, ended.out) == (4, "")
    assert "No service answers" in ended.err


def test_a_refusal_is_exit_code_3_and_a_document_where_json_is_wanted(run: Run, scripted: ScriptedService) -> None:
    problem = {"title": "Not found", "status": 404}
    scripted.answer(Answer(404, problem))
    assert run("status", "a")[:2] == (3, "")
    ended = run("status", "a", "--json")
    assert ended.code == 3
    assert json.loads(ended.out) == problem
    assert "Check the id" in ended.err


def test_the_module_is_the_same_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "app", "status", "--help"], capture_output=True, text=True, check=True
    )
    assert "task-executor status" in ended.stdout


LOADED = """
import sys
from app.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
SERVICE = {"alembic", "asyncpg", "duckdb", "fastapi", "jinja2", "sqlalchemy", "structlog", "uvicorn", "uvloop"}
CLIENT = {"httpx", "rich"}
KEYS = {"cryptography", "jose", "pydantic_settings"}


@pytest.mark.parametrize(
    ("words", "without"),
    [
        ("--help", SERVICE | KEYS | {"httpx", "pydantic"}),
        ("token", SERVICE | CLIENT),
        ("status --help", SERVICE | KEYS),
        ("status a --token given", SERVICE | KEYS),
        ("submit --type echo --token given", SERVICE | KEYS),
        ("serve --help", {"alembic", "duckdb", "fastapi", "httpx"}),
    ],
)
def test_a_command_loads_what_it_needs_and_no_more(scripted: ScriptedService, words: str, without: set[str]) -> None:
    """Loading is what a short command spends its time with: each of these costs tens of milliseconds or hundreds."""
    scripted.answer(Answer(404, {"title": "Not found", "status": 404}))
    ended = subprocess.run([sys.executable, "-c", LOADED, *words.split()], capture_output=True, text=True, check=False)
    loaded = set(ended.stderr.splitlines()[-1].split())
    assert "typer" in loaded
    assert not loaded & without


def test_the_list_of_commands_says_what_they_say_of_themselves() -> None:
    assert list(SENTENCES) == list(COMMANDS)
    for name, sentence in SENTENCES.items():
        said = loaded(name).help
        assert said is not None
        assert " ".join(said.split("\n\n")[0].split()) == sentence


def test_a_shell_completes_a_commands_own_options() -> None:
    words = {"_TASK_EXECUTOR_COMPLETE": "complete_bash", "COMP_WORDS": "task-executor cancel --j", "COMP_CWORD": "2"}
    ended = subprocess.run(
        [Path(sys.executable).parent / "task-executor"],
        env=os.environ | words, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "--json" in ended.stdout.split()


def test_the_documentation_lists_every_command_and_exit_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(COMMANDS)
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == list(ExitCode)
