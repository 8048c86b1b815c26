from typing import Any

import pytest
from pydantic import BaseModel

from app.protocol.resources import Resources
from app.task_types import TaskContext, TaskType, task_type
from app.task_types.definition import DEFAULT_RESOURCES, DEFAULT_TIMEOUT_S, RunsIn


class Parameters(BaseModel):
    """Of the kinds below."""

    number: int = 1


def plain(parameters: Parameters, context: TaskContext) -> int:
    """Returns its number."""
    return parameters.number


async def in_the_loop(parameters: Parameters, context: TaskContext) -> int:
    return parameters.number


def kind_of(handler: Any) -> TaskType:
    return handler.__task_type__  # type: ignore[no-any-return]  # set by the decorator


def test_a_plain_function_runs_in_a_child_with_the_defaults() -> None:
    kind = kind_of(task_type("number", parameters=Parameters)(plain))
    assert kind == TaskType(
        name="number",
        handler=plain,
        parameters=Parameters,
        resources=DEFAULT_RESOURCES,
        runs_in="process",
        timeout_s=DEFAULT_TIMEOUT_S,
        max_attempts=3,
        description="Returns its number.",
        examples=(),
    )


def test_an_async_function_runs_in_the_services_loop() -> None:
    kind = kind_of(task_type("number", parameters=Parameters)(in_the_loop))
    assert (kind.runs_in, kind.description) == ("asyncio", "")


def test_what_is_said_replaces_the_defaults() -> None:
    wanted = Resources(cpu=4, gpu=1)
    kind = kind_of(
        task_type(
            "number", parameters=Parameters, resources=wanted, timeout_s=5, max_attempts=1, examples=({"number": 2},)
        )(plain)
    )
    assert (kind.resources, kind.timeout_s, kind.max_attempts, kind.examples) == (wanted, 5, 1, ({"number": 2},))


def test_the_decorated_function_is_still_the_function() -> None:
    assert task_type("number", parameters=Parameters)(plain) is plain


def test_a_child_process_finds_the_function_by_its_names() -> None:
    kind = kind_of(task_type("number", parameters=Parameters)(plain))
    assert (kind.module, kind.qualified_name) == (__name__, "plain")


@pytest.mark.parametrize(("handler", "where"), [(plain, "asyncio"), (in_the_loop, "process")])
def test_a_place_that_does_not_fit_the_function_is_refused(handler: Any, where: RunsIn) -> None:
    with pytest.raises(TypeError, match=f"runs_in='{where}' does not fit"):
        task_type("number", parameters=Parameters, runs_in=where)(handler)


def test_only_a_child_is_prepared() -> None:
    assert kind_of(task_type("number", parameters=Parameters, prepare=print)(plain)).prepare is print
    with pytest.raises(TypeError, match="prepare is for children"):
        task_type("number", parameters=Parameters, prepare=print)(in_the_loop)


@pytest.mark.parametrize("handler", [plain, in_the_loop])
def test_either_may_stand_for_an_executor_outside(handler: Any) -> None:
    assert kind_of(task_type("number", parameters=Parameters, runs_in="external")(handler)).runs_in == "external"
