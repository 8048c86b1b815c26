"""Building a submit_task message from options."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from app.cli.durations import parse_moment, parse_span
from app.cli.failures import Usage
from app.protocol.resources import CUSTOM_PREFIX
from app.protocol.times import format_time

MAX_FILE_BYTES = 64 * 1024 * 1024
"""The service takes far less; this only keeps a wrong file name from filling the memory."""


class Draft(NamedTuple):
    """What was typed; None and empty where nothing was. Times as people type them."""

    kind: str
    priority: int
    message_id: str
    parameters: dict[str, Any]
    resources: dict[str, Any]
    labels: dict[str, str]
    deadline: str | None = None
    timeout: str | None = None
    max_attempts: int | None = None


def build(draft: Draft, now: datetime) -> bytes:
    """The message as JSON in UTF-8; `now`, in UTC, becomes its timestamp. Raises Usage."""
    specification: dict[str, Any] = {"type": draft.kind, "parameters": draft.parameters}
    if draft.resources:
        specification["resources"] = draft.resources
    if draft.timeout is not None:
        specification["timeout_s"] = parse_span(draft.timeout)
    if draft.max_attempts is not None:
        specification["retry"] = {"max_attempts": draft.max_attempts}
    if draft.labels:
        specification["labels"] = draft.labels
    body: dict[str, Any] = {"task_specification": specification, "priority": draft.priority}
    if draft.deadline is not None:
        body["deadline"] = parse_moment(draft.deadline, now)
    header = {"message_id": draft.message_id, "timestamp": format_time(now)}
    return json.dumps({"type": "submit_task", "header": header, "body": body}, ensure_ascii=False).encode()


def read_file(path: str, stdin: Any) -> bytes:
    """The bytes of a file, or of stdin for "-". Raises Usage where it cannot be read, or nothing is in it."""
    try:
        content = _read(path, stdin)
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from None
    if not content.strip():
        raise Usage(f"{'stdin' if path == '-' else path} is empty: JSON was expected.")
    return content


def _read(path: str, stdin: Any) -> bytes:
    if path == "-":
        return bytes(stdin.read(MAX_FILE_BYTES))
    with Path(path).open("rb") as file:
        return file.read(MAX_FILE_BYTES)


def parse_object(raw: bytes, source: str) -> dict[str, Any]:
    """A JSON object. Raises Usage naming the `source`."""
    try:
        value = json.loads(raw, parse_constant=_no_constant)
    except ValueError as error:
        raise Usage(f"{source} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Usage(f"{source} must be a JSON object, with the parameters as its members")
    return value


def parse_parameters(pairs: list[str]) -> dict[str, Any]:
    """key=value pairs; a value that is JSON is taken as such, anything else as a string. Raises Usage."""
    return {name: _json_or_text(value) for name, value in _pairs("--param", pairs)}


def parse_labels(pairs: list[str]) -> dict[str, str]:
    """key=value pairs. Raises Usage."""
    return dict(_pairs("--label", pairs))


def parse_resources(pairs: list[str]) -> dict[str, Any]:
    """unit=amount pairs: cpu, memory_mb, gpu, or custom.NAME. Raises Usage."""
    resources: dict[str, Any] = {}
    for unit, text in _pairs("--resource", pairs):
        amount = _amount(unit, text)
        if unit.startswith(CUSTOM_PREFIX):
            resources.setdefault("custom", {})[unit.removeprefix(CUSTOM_PREFIX)] = amount
        else:
            resources[unit] = amount
    return resources


def _pairs(option: str, pairs: list[str]) -> list[tuple[str, str]]:
    split = [pair.partition("=") for pair in pairs]
    for (name, equals, _), pair in zip(split, pairs, strict=True):
        if not name or not equals:
            raise Usage(f"{option} {pair!r}: write NAME=VALUE")
    return [(name, value) for name, _, value in split]


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _amount(unit: str, text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise Usage(f"--resource {unit}={text!r}: the amount must be a number") from None
