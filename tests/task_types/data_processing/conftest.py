"""What the tests of `data_processing` share: running it directly, and catalogues of their own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from app.task_types.context import TaskContext
from app.task_types.data_processing import DataProcessingParameters, data_processing
from app.task_types.data_processing.catalogue import SOURCES_FILE_VARIABLE
from app.task_types.data_processing.session import Session, open_session
from app.task_types.data_processing.workspace import workspace
from tests.task_types.contexts import context as make_context


class Process(Protocol):
    """Runs the task as a backend would, with the parameters as they come in a message."""

    def __call__(self, source: Any, *steps: Any, context: TaskContext | None = None) -> dict[str, Any]:
        """Returns the result."""


class Catalogue:
    """A catalogue in a folder of its own, which the tests write entries and files into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "sources.toml"

    def add(self, name: str, entry: str, **files: str | bytes) -> None:
        """An entry in TOML, and files (a dunder stands for the dot of a name)."""
        with self.path.open("a") as out:
            out.write(f"[sources.{name}]\n{entry}\n")
        for file, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            (self.folder / file.replace("__", ".")).write_bytes(data)


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    made = Catalogue(tmp_path)
    monkeypatch.setenv(SOURCES_FILE_VARIABLE, str(made.path))
    return made


@pytest.fixture
def process() -> Process:
    def run(source: Any, *steps: Any, context: TaskContext | None = None) -> dict[str, Any]:
        parameters = {"input_source": source, "processing_steps": list(steps)}
        result = data_processing(DataProcessingParameters.model_validate(parameters), context or make_context())
        assert isinstance(result, dict)
        return result

    return run


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session without any file."""
    with ExitStack() as stack:
        directory = stack.enter_context(workspace())
        yield stack.enter_context(open_session(make_context(), directory, []))
