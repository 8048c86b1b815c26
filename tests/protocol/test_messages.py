"""The submit_task message: the protocol's example, and what each member may be."""

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from app.protocol.messages import SubmitTask
from app.protocol.problems import member_errors

EXAMPLE: dict[str, Any] = {
    "type": "submit_task",
    "header": {"message_id": "task-123", "timestamp": "2024-03-21T10:00:00Z"},
    "body": {
        "task_specification": {
            "type": "data_processing",
            "parameters": {"input_source": "data_stream_1", "processing_steps": ["validate", "transform", "aggregate"]},
        },
        "priority": 1,
        "deadline": "2024-03-21T10:30:00Z",
    },
}
SPECIFICATION = "/body/task_specification"


def changed(path: str, value: Any) -> dict[str, Any]:
    """The example with the member at a JSON Pointer set to a value, or removed where that is `...`."""
    message = copy.deepcopy(EXAMPLE)
    *parents, name = path.split("/")[1:]
    place = message
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return message


def test_the_protocols_example() -> None:
    message = SubmitTask.model_validate(EXAMPLE)
    assert message.header.message_id == "task-123"
    assert message.body.priority == 1
    assert message.body.task_specification.parameters["processing_steps"] == ["validate", "transform", "aggregate"]
    assert message.body.deadline is not None
    assert message.body.task_specification.retry is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/type", ...), ("/type", "task_status"), ("/type", 1), ("/header", ...), ("/header", []), ("/extra", 1),
        ("/header/message_id", ...), ("/header/message_id", ""), ("/header/message_id", "x" * 256),
        ("/header/message_id", "a\nb"), ("/header/message_id", 7), ("/header/message_id", None),
        ("/header/timestamp", ...), ("/header/timestamp", "2024-03-21T10:00:00"), ("/header/timestamp", 0),
        ("/header/extra", 1), ("/body", ...), ("/body/extra", 1), ("/body/priority", ...), ("/body/priority", "1"),
        ("/body/priority", 1.5), ("/body/priority", True), ("/body/priority", 32768), ("/body/priority", -32769),
        ("/body/deadline", "tomorrow"), ("/body/task_specification", ...),
        (f"{SPECIFICATION}/type", ...), (f"{SPECIFICATION}/type", ""), (f"{SPECIFICATION}/parameters", []),
        (f"{SPECIFICATION}/extra", 1), (f"{SPECIFICATION}/timeout_s", 0), (f"{SPECIFICATION}/timeout_s", -1),
        (f"{SPECIFICATION}/timeout_s", 604_801), (f"{SPECIFICATION}/retry/max_attempts", 0),
        (f"{SPECIFICATION}/retry/max_attempts", 101), (f"{SPECIFICATION}/retry/backoff", "linear"),
        (f"{SPECIFICATION}/retry/initial_s", -1), (f"{SPECIFICATION}/retry/extra", 1),
        (f"{SPECIFICATION}/labels/a", 1), (f"{SPECIFICATION}/labels/a", "x" * 256),
        (f"{SPECIFICATION}/resources/cpu", -1), (f"{SPECIFICATION}/resources/disk", 1),
    ],
)  # fmt: skip
def test_a_wrong_member_is_named(path: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        SubmitTask.model_validate(changed(path, value))
    (error,) = member_errors(caught.value)
    assert error.pointer == path
    assert error.detail


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/body/deadline", ...), ("/body/deadline", None), ("/body/priority", -32768), ("/body/priority", 32767),
        ("/header/message_id", "x" * 255), ("/header/message_id", "é 中 \U0001f600"),
        (f"{SPECIFICATION}/parameters", ...), (f"{SPECIFICATION}/timeout_s", 0.5),
        (f"{SPECIFICATION}/retry/max_attempts", 100), (f"{SPECIFICATION}/labels/team.a-b_c", ""),
        (f"{SPECIFICATION}/resources/custom", {"licence": 1}),
    ],
)  # fmt: skip
def test_what_a_member_may_be(path: str, value: Any) -> None:
    SubmitTask.model_validate(changed(path, value))


def test_all_errors_at_once() -> None:
    message = changed("/body/priority", "high")
    message["header"] = {"timestamp": "now"}
    message["surprise"] = True
    with pytest.raises(ValidationError) as caught:
        SubmitTask.model_validate(message)
    pointers = {error.pointer for error in member_errors(caught.value)}
    assert pointers == {"/body/priority", "/header/timestamp", "/header/message_id", "/surprise"}
