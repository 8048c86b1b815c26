"""Fixtures for the command line: a clean environment, a scripted service, and running a command in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from app.cli import main
from tests.cli.scripted import ScriptedService


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting and no token of the developer's own; a data directory of the test's."""
    for name in ("TASK_EXECUTOR_URL", "TASK_EXECUTOR_TOKEN", "DATABASE_URL", "TASK_EXECUTOR_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TASK_EXECUTOR_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedService]:
    """A scripted service, which commands take for theirs."""
    made = ScriptedService()
    monkeypatch.setenv("TASK_EXECUTOR_URL", made.url)
    yield made
    made.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def run_command(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ending:
            main(arguments)
        captured = capsys.readouterr()
        return Ended(int(ending.value.code or 0), captured.out, captured.err)

    return run_command
