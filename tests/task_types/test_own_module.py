"""The module in docs/writing-a-task-type.md works as it stands there."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.execution.backends.asyncio_ import AsyncioBackend
from app.execution.backends.backend import Attempt, Failed, Outcome, Stopped, Succeeded
from app.execution.backends.process import ProcessBackend
from app.protocol.reasons import Reason
from app.task_types.registry import Registry, load
from tests.task_types.contexts import Report

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-task-type.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module saved under its name, in a folder on the import path."""
    path = tmp_path / "our_tasks.py"
    path.write_text(blocks("python")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield path
    sys.modules.pop("our_tasks", None)


@pytest.fixture
def registry(own_module: Path) -> Registry:
    return load(["our_tasks"])


@pytest.fixture
async def backends(own_module: Path) -> AsyncIterator[dict[str, ProcessBackend | AsyncioBackend]]:
    process = ProcessBackend(["our_tasks"], 1, 5.0, 1 << 20)
    await process.start()
    yield {"process": process, "asyncio": AsyncioBackend(5.0, 1 << 20)}
    await process.close()


async def attempted(
    registry: Registry,
    backends: dict[str, ProcessBackend | AsyncioBackend],
    name: str,
    parameters: dict[str, Any],
    reports: list[Report],
    *,
    cancel_on_progress: bool = False,
) -> Outcome:
    kind = registry.get(name)
    assert kind is not None

    def heard(fraction: float, details: dict[str, Any]) -> None:
        reports.append((fraction, details))
        if cancel_on_progress:
            attempt.stop.set(Reason.CANCELLED)

    attempt = Attempt("t-1", "m-1", 1, kind, parameters, kind.resources, None, heard)
    return await asyncio.wait_for(backends[kind.runs_in].run(attempt), 60)


def test_its_kinds_are_offered_beside_the_built_in_ones(registry: Registry) -> None:
    assert [(kind.name, kind.runs_in) for kind in registry][-2:] == [
        ("stretch_key", "process"),
        ("countdown", "asyncio"),
    ]
    for name in ("stretch_key", "countdown"):
        kind = registry.get(name)
        assert kind is not None
        assert kind.description
        for example in kind.examples:
            kind.parameters.model_validate(example)


@pytest.mark.parametrize(("name", "result"), [("stretch_key", '"rounds":50000'), ("countdown", "[3,2,1]")])
async def test_its_examples_complete_in_their_backends(
    registry: Registry, backends: dict[str, ProcessBackend | AsyncioBackend], name: str, result: str
) -> None:
    kind = registry.get(name)
    assert kind is not None
    reports: list[Report] = []
    outcome = await attempted(registry, backends, name, kind.examples[0], reports)
    assert isinstance(outcome, Succeeded), outcome
    assert result in outcome.result_json.replace(" ", "")
    assert reports


async def test_what_another_attempt_would_not_mend_is_permanent(
    registry: Registry, backends: dict[str, ProcessBackend | AsyncioBackend]
) -> None:
    parameters = {"passphrase": "correct horse", "salt": "not hexadecimal"}
    outcome = await attempted(registry, backends, "stretch_key", parameters, [])
    assert isinstance(outcome, Failed), outcome
    assert outcome.permanent
    assert outcome.error["kind"] == "PermanentError"
    assert outcome.error["message"].startswith("/salt: not hexadecimal")


async def test_it_stops_when_it_is_cancelled(
    registry: Registry, backends: dict[str, ProcessBackend | AsyncioBackend]
) -> None:
    parameters = {"passphrase": "correct horse", "salt": "00112233aabbccdd", "rounds": 10_000_000}
    outcome = await attempted(registry, backends, "stretch_key", parameters, [], cancel_on_progress=True)
    assert isinstance(outcome, Stopped), outcome
    assert outcome.reason is Reason.CANCELLED


def test_the_test_that_the_page_shows_passes(own_module: Path) -> None:
    exec(compile(blocks("python")[1], str(PAGE), "exec"), {})
