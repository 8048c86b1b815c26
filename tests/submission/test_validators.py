"""Both validators: every mistake with its pointer, several at once, and what is checked against the node."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.protocol.resources import Resources
from app.resources.capacities import Capacities
from app.submission.resource_validator import check_limits, check_resources, resolve
from app.submission.task_validator import check_task
from app.task_types.registry import Registry
from tests.submission.messages import message, moment, with_member

SPECIFICATION = "/body/task_specification"


def errors_of(value: Any, registry: Registry) -> dict[str, str]:
    return {error.pointer: error.detail for error in check_task(value, registry, datetime.now(UTC)).errors}


def in_time(value: Any) -> Any:
    """A span is a moment so far from now; anything else is itself."""
    return moment(seconds=value.total_seconds()) if isinstance(value, timedelta) else value


def test_a_sound_message(registry: Registry) -> None:
    checked = check_task(message(), registry, datetime.now(UTC))
    assert checked.errors == []
    assert checked.message is not None
    assert checked.kind is registry.get("echo")


@pytest.mark.parametrize(
    ("path", "value", "detail"),
    [
        (f"{SPECIFICATION}/type", "ehco", "did you mean 'echo'?"),
        (f"{SPECIFICATION}/type", "zzz", "this service offers echo, sleep"),
        (f"{SPECIFICATION}/type", 5, "must be a string"),
        (f"{SPECIFICATION}/parameters", [1], "must be an object"),
        ("/body/deadline", timedelta(seconds=-1), "has passed"),
        ("/body/deadline", "2026-05-01T10:00:00", "no time zone"),
        ("/header/timestamp", timedelta(minutes=6), "more than 5 minutes ahead"),
        ("/header/timestamp", "2026-05-01T10:00:00", "no time zone"),
        ("/body/priority", 40_000, "32767"),
        ("/body/surprise", 1, "remove it"),
    ],
)
def test_each_mistake_is_named(registry: Registry, path: str, value: Any, detail: str) -> None:
    errors = errors_of(with_member(path, in_time(value)), registry)
    assert list(errors) == [path]
    assert detail in errors[path]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/header/timestamp", "1999-01-01T00:00:00Z"),
        ("/header/timestamp", timedelta(minutes=4)),
        ("/body/deadline", timedelta(hours=1)),
        ("/body/deadline", None),
    ],
)
def test_times_that_are_fine(registry: Registry, path: str, value: Any) -> None:
    assert errors_of(with_member(path, in_time(value)), registry) == {}


def test_parameters_are_checked_by_their_type(registry: Registry) -> None:
    errors = errors_of(message(type="sleep", parameters={"seconds": "1", "extra": 1}), registry)
    assert set(errors) == {f"{SPECIFICATION}/parameters/seconds", f"{SPECIFICATION}/parameters/extra"}
    assert set(errors_of(message(type="sleep", parameters={}), registry)) == {f"{SPECIFICATION}/parameters/seconds"}
    without = message(type="sleep")
    del without["body"]["task_specification"]["parameters"]
    assert set(errors_of(without, registry)) == {f"{SPECIFICATION}/parameters/seconds"}


def test_all_mistakes_at_once(registry: Registry) -> None:
    value = message(type="sleep", parameters={"seconds": -1}, timeout_s=0)
    value["body"]["priority"] = "high"
    value["body"]["deadline"] = moment(days=-1)
    value["header"]["timestamp"] = moment(days=1)
    del value["header"]["message_id"]
    assert set(errors_of(value, registry)) == {
        f"{SPECIFICATION}/parameters/seconds", f"{SPECIFICATION}/timeout_s", "/body/priority", "/body/deadline",
        "/header/timestamp", "/header/message_id",
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, 1, "text", [], {}, {"body": []}, {"body": {"task_specification": "x"}}])
def test_anything_at_all_is_answered(registry: Registry, value: Any) -> None:
    assert errors_of(value, registry)


# -- resources -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "amounts"),
    [
        (None, {"cpu": 10, "memory_mb": 1000}),
        (Resources(), {"cpu": 10, "memory_mb": 1000}),
        (Resources(cpu=2), {"cpu": 2000, "memory_mb": 1000}),
        (Resources(cpu=0), {"memory_mb": 1000}),
        (Resources(custom={"licence": 1}), {"cpu": 10, "memory_mb": 1000, "custom.licence": 1000}),
    ],
)
def test_what_is_not_named_is_the_types_default(
    registry: Registry, request_: Resources | None, amounts: dict[str, int]
) -> None:
    kind = registry.get("echo")
    assert kind is not None
    assert resolve(request_, kind) == amounts


def test_a_child_process_cannot_be_asked_to_run_without_limits(registry: Registry) -> None:
    in_the_loop = registry.get("echo")
    assert in_the_loop is not None
    kind = replace(in_the_loop, runs_in="process")
    said = "must be more than 0: tasks of this kind are held to what they ask for"
    nothing = resolve(Resources(cpu=0, memory_mb=0), kind)
    assert {error.pointer: error.detail for error in check_limits(nothing, kind)} == {
        f"{SPECIFICATION}/resources/cpu": said,
        f"{SPECIFICATION}/resources/memory_mb": said,
    }
    assert check_limits(resolve(Resources(cpu=0.001, memory_mb=1), kind), kind) == []
    assert check_limits({}, in_the_loop) == []
    unlimited = replace(kind, resources=Resources(cpu=1))
    assert check_limits(resolve(None, unlimited), unlimited) == []


def test_more_than_there_will_ever_be(registry: Registry) -> None:
    capacity = {"cpu": 4000, "memory_mb": 1_000_000, "custom.licence": 2000}
    alone = Capacities("node-a", capacity)
    assert check_resources(capacity, alone) == []
    errors = check_resources(
        {"cpu": 4500, "gpu": 1000, "custom.licence": 3000, "custom.licens": 1000, "memory_mb": 1000}, alone
    )
    assert {error.pointer: error.detail for error in errors} == {
        f"{SPECIFICATION}/resources/cpu": "asks for 4.5, this service has 4 in all: it could never be granted",
        f"{SPECIFICATION}/resources/gpu": "asks for 1, this service has 0 in all: it could never be granted",
        f"{SPECIFICATION}/resources/custom/licence": (
            "asks for 3, this service has 2 in all: it could never be granted"
        ),
        f"{SPECIFICATION}/resources/custom/licens": "is not a unit of this service: its own units are licence",
    }
    (none,) = check_resources({"custom.x": 1}, Capacities("node-a", {"cpu": 1}))
    assert none.detail == "is not a unit of this service: it has no units of its own"


def test_more_than_any_node_will_ever_have() -> None:
    capacities = Capacities("node-a", {"cpu": 2000, "memory_mb": 8000})
    capacities.others_have({"node-b": {"cpu": 8000, "memory_mb": 1000, "custom.licence": 1000}})
    assert check_resources({"cpu": 8000, "custom.licence": 1000}, capacities) == []
    (error,) = check_resources({"cpu": 9000}, capacities)
    assert error.pointer == f"{SPECIFICATION}/resources/cpu"
    assert error.detail == "asks for 9, the largest node, node-b, has 8: it could never be granted"
    (error,) = check_resources({"cpu": 7000, "memory_mb": 2000}, capacities)
    assert error.detail == (
        "asks for 2, no node has all of the request, and the one that comes nearest, node-b, has 1: "
        "it could never be granted"
    )
    (error,) = check_resources({"custom.licens": 1}, capacities)
    assert error.detail == "is not a unit of this service: its own units are licence"


def test_times_are_judged_by_the_moment_given(registry: Registry) -> None:
    value = with_member("/body/deadline", "2026-05-01T10:00:00Z")
    value["header"]["timestamp"] = "2026-05-01T09:00:00Z"
    due = datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert check_task(value, registry, due - timedelta(microseconds=1)).errors == []
    assert [error.pointer for error in check_task(value, registry, due).errors] == ["/body/deadline"]
