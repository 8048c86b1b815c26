"""The task where it really runs: in a supervised child process, under the limits of its allocation."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.execution.backends.backend import Attempt, Failed, Outcome, Stopped, Succeeded
from app.execution.backends.process import ProcessBackend
from app.protocol.reasons import Reason
from app.protocol.resources import Resources
from app.task_types.definition import TaskType
from app.task_types.registry import load
from tests.task_types.data_processing.conftest import Catalogue


@pytest.fixture
async def backend(catalogue: Catalogue) -> AsyncIterator[ProcessBackend]:
    catalogue.path.touch()
    started = ProcessBackend(["app.task_types.data_processing"], 1, 10.0, 1 << 20)
    await started.start()
    yield started
    await started.close()


def kind() -> TaskType:
    found = load().get("data_processing")
    assert found is not None
    return found


async def attempted(backend: ProcessBackend, attempt: Attempt) -> Outcome:
    return await asyncio.wait_for(backend.run(attempt), 90)


def attempt_at(parameters: dict[str, Any], memory_mb: int, seen: list[float]) -> Attempt:
    granted = Resources(cpu=1, memory_mb=memory_mb)
    return Attempt("t-1", "m-1", 1, kind(), parameters, granted, None, lambda fraction, _: seen.append(fraction))


async def test_the_protocols_example_completes(backend: ProcessBackend) -> None:
    seen: list[float] = []
    steps = {"input_source": "data_stream_1", "processing_steps": ["validate", "transform", "aggregate"]}
    outcome = await attempted(backend, attempt_at(steps, 512, seen))
    assert isinstance(outcome, Succeeded), outcome
    assert len(json.loads(outcome.result_json)["aggregate"]) == 8
    assert seen[-1] == 1.0


async def test_a_catalogue_of_the_operators_reaches_the_child(backend: ProcessBackend, catalogue: Catalogue) -> None:
    rows = "".join(f"{number % 1000},{number:0100d}\n" for number in range(300_000))
    catalogue.add("large", 'format = "csv"\npath = "l.csv"\ncolumns.b = "text"', l__csv="a,b\n" + rows)
    steps = {
        "input_source": "large",
        "processing_steps": [
            "validate",
            {"step": "aggregate", "group_by": ["b"], "order_by": [{"column": "b", "descending": True}]},
        ],
    }
    outcome = await attempted(backend, attempt_at(steps, 160, []))
    assert isinstance(outcome, Succeeded), outcome
    result = json.loads(outcome.result_json)
    assert (result["output_rows"], result["truncated"]) == (300_000, True)
    assert result["aggregate"][0] == {"b": f"{299_999:0100d}", "count": 1}


async def test_what_the_data_shows_to_be_wrong_is_permanent(backend: ProcessBackend) -> None:
    steps = {"input_source": "data_stream_2", "processing_steps": ["validate"]}
    outcome = await attempted(backend, attempt_at(steps, 512, []))
    assert isinstance(outcome, Failed), outcome
    assert outcome.permanent
    assert "there is no source 'data_stream_2'" in outcome.error["message"]


async def test_a_cancelled_task_stops_by_itself(backend: ProcessBackend) -> None:
    steps = {"input_source": "data_stream_1", "processing_steps": ["validate"] * 50}
    attempt = attempt_at(steps, 512, [])
    attempt.on_progress = lambda *_: attempt.stop.set(Reason.CANCELLED)
    outcome = await attempted(backend, attempt)
    assert isinstance(outcome, Stopped), outcome
    assert outcome.reason is Reason.CANCELLED
