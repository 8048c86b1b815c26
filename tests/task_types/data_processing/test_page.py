"""docs/data-processing.md: its examples run as they stand, and it names every function, operator and member."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from app.task_types.data_processing.catalogue import Source
from app.task_types.data_processing.column_types import TYPE_NAMES
from app.task_types.data_processing.conditions import Operator
from app.task_types.data_processing.expressions import UNITS, FunctionName
from app.task_types.data_processing.rendering import MAX_RESULT_BYTES, MAX_RESULT_ROWS
from app.task_types.data_processing.steps import AggregateOptions, MetricFunction, Rule, TransformOptions
from tests.task_types.data_processing.conftest import Catalogue, Process

PAGE = (Path(__file__).parents[3] / "docs" / "data-processing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


EXAMPLES: list[dict[str, Any]] = [json.loads(block) for block in blocks("json")]


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_completes(process: Process, example: dict[str, Any]) -> None:
    result = process(example["input_source"], *example["processing_steps"])
    assert result["output_rows"] > 0
    assert [step["step"] for step in result["steps"][1:]] == [
        step if isinstance(step, str) else step["step"] for step in example["processing_steps"]
    ]


def test_the_catalogue_shown_works(process: Process, catalogue: Catalogue) -> None:
    catalogue.path.write_text(blocks("toml")[0])
    (catalogue.folder / "readings").mkdir()
    header = "sensor;taken_at;celsius\n"
    (catalogue.folder / "readings/2026-01.csv").write_text(header + "s-1;31.01.2026 10:00;20.5\ns-2;x;1\n")
    (catalogue.folder / "readings/2026-02.csv").write_text(header + "s-1;01.02.2026 00:00;21.5\ns-1;;99\nt;;NA\n")
    (catalogue.folder / "readings/2025-12.csv").write_text("another;header\n")
    result = process("readings", "validate", "transform", "aggregate")
    assert result["aggregate"] == [{"sensor": "s-1", "readings": 2, "avg_celsius": 21.0}]
    assert result["rejected"]["by_reason"] == {"taken_at.type": 1, "celsius.max": 1, "sensor.pattern": 1}


@pytest.mark.parametrize(
    "word",
    [
        *get_args(FunctionName), *get_args(Operator), *get_args(MetricFunction), *UNITS, *TYPE_NAMES,
        *sorted(set(Rule.model_fields) - {"column"}), *TransformOptions.model_fields,
    ],
)  # fmt: skip
def test_every_word_of_the_options_is_explained(word: str) -> None:
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize(
    "member", [*AggregateOptions.model_fields, *sorted(set(Source.model_fields) - {"description"})]
)
def test_every_member_is_shown(member: str) -> None:
    assert re.search(rf"\b{member}\b", PAGE)


def test_the_limits_are_those_in_force() -> None:
    assert f"{MAX_RESULT_ROWS:,} rows or {MAX_RESULT_BYTES // 1024} KiB" in PAGE


def test_the_result_has_the_members_described(process: Process) -> None:
    described = PAGE.split("## The result")[1].split("## When")[0]
    for member in process("data_stream_1", "validate", "aggregate"):
        assert f"`{member}`" in described
