"""Messages built from options are what the protocol's model takes."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.cli.failures import Usage
from app.cli.message import (
    Draft,
    build,
    parse_labels,
    parse_object,
    parse_parameters,
    parse_resources,
    read_file,
)
from app.protocol.messages import SubmitTask

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)


def draft(**changes: Any) -> Draft:
    plain = Draft(kind="echo", priority=0, message_id="m", parameters={}, resources={}, labels={})
    return plain._replace(**changes)


def test_the_shortest_message() -> None:
    assert json.loads(build(draft(), NOW)) == {
        "type": "submit_task",
        "header": {"message_id": "m", "timestamp": "2026-01-31T10:00:00.000000Z"},
        "body": {"task_specification": {"type": "echo", "parameters": {}}, "priority": 0},
    }


def test_every_option_arrives_in_the_protocols_model() -> None:
    raw = build(
        draft(
            parameters={"city": "Zürich"},
            resources={"cpu": 0.5, "custom": {"licence": 1}},
            labels={"team": "a"},
            deadline="30m",
            timeout="1h",
            max_attempts=5,
        ),
        NOW,
    )
    message = SubmitTask.model_validate_json(raw)
    specification = message.body.task_specification
    assert specification.parameters == {"city": "Zürich"}
    assert specification.resources is not None
    assert specification.resources.amounts() == {"cpu": 500, "custom.licence": 1000}
    assert (specification.timeout_s, specification.labels) == (3600, {"team": "a"})
    assert specification.retry is not None
    assert specification.retry.max_attempts == 5
    assert message.body.deadline == datetime(2026, 1, 31, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("n=3", 3),
        ("n=1e2", 100.0),
        ("n=true", True),
        ("n=null", None),
        ('n="3"', "3"),
        ("n=[1,2]", [1, 2]),
        ('n={"a":1}', {"a": 1}),
        ("n=hello", "hello"),
        ("n=a=b", "a=b"),
        ("n=", ""),
        ("n=NaN", "NaN"),
        ("n=-Infinity", "-Infinity"),
        (f"n={2**80}", 2**80),
    ],
)
def test_a_parameter_is_json_or_else_text(pair: str, value: Any) -> None:
    assert parse_parameters([pair]) == {"n": value}


@pytest.mark.parametrize("pair", ["n", "=3", ""])
def test_a_pair_needs_a_name_and_a_value(pair: str) -> None:
    for parse in (parse_parameters, parse_labels, parse_resources):
        with pytest.raises(Usage, match="NAME=VALUE"):
            parse([pair])


def test_resources() -> None:
    pairs = ["cpu=0.5", "memory_mb=512", "custom.licence=2", "custom.slot=1"]
    assert parse_resources(pairs) == {"cpu": 0.5, "memory_mb": 512, "custom": {"licence": 2, "slot": 1}}
    with pytest.raises(Usage, match="must be a number"):
        parse_resources(["cpu=two"])


def test_files_and_stdin(tmp_path: Path) -> None:
    file = tmp_path / "message.json"
    file.write_bytes(b"{}")
    assert read_file(str(file), io.BytesIO()) == b"{}"
    assert read_file("-", io.BytesIO(b"[1]")) == b"[1]"
    for missing in (tmp_path / "none.json", tmp_path):
        with pytest.raises(Usage, match="cannot be read"):
            read_file(str(missing), io.BytesIO())


@pytest.mark.parametrize("raw", [b"", b"[1]", b"3", b'{"a": NaN}', b"\xff"])
def test_parameters_must_be_an_object(raw: bytes) -> None:
    with pytest.raises(Usage, match=r"p\.json"):
        parse_object(raw, "p.json")
