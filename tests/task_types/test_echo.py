from typing import Any

import pytest

from app.task_types.echo import EchoParameters, echo
from tests.task_types.contexts import context


@pytest.mark.parametrize("parameters", [{}, {"greeting": "hello"}, {"nested": [{"n": 2**70}, None, True, "ä"]}])
async def test_returns_whatever_object_it_was_given(parameters: dict[str, Any]) -> None:
    assert await echo(EchoParameters.model_validate(parameters), context()) == parameters


@pytest.mark.parametrize("parameters", [[], "text", 5, None])
def test_takes_objects_only(parameters: Any) -> None:
    with pytest.raises(ValueError, match="valid dictionary"):
        EchoParameters.model_validate(parameters)


def test_asks_for_little_and_runs_in_the_loop() -> None:
    kind = echo.__task_type__  # type: ignore[attr-defined]  # set by the decorator
    assert (kind.runs_in, kind.resources.cpu, kind.resources.memory_mb) == ("asyncio", 0.01, 1)
