"""The parameters of a `data_processing` task."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, StringConstraints, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from app.task_types.data_processing.column_types import TypeName
from app.task_types.data_processing.options import ColumnName, Options
from app.task_types.data_processing.steps import Aggregate, ConfiguredStep, StepName, Transform, Validate

SourceName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
STEPS: dict[str, type[Validate | Transform | Aggregate]] = {
    "validate": Validate,
    "transform": Transform,
    "aggregate": Aggregate,
}
MAX_STEPS = 50

Step = Validate | Transform | Aggregate


class InlineRows(Options):
    """Rows that come with the message itself, for small amounts."""

    rows: list[dict[str, Any]] = Field(
        min_length=1, max_length=100_000, description="One object for each row; a missing member is null."
    )
    columns: dict[ColumnName, TypeName] = Field(
        default_factory=dict, description="Types of columns; where left out, told from the values."
    )

    @model_validator(mode="after")
    def _has_columns(self) -> "InlineRows":
        if not any(self.rows) and not self.columns:
            raise ValueError("the rows have no members")
        return self


def _choose_step(value: Any, _: Callable[[Any], Any]) -> Step:
    """The model of one step, with errors at their JSON places (a tagged union would add its tag to the place)."""
    if isinstance(value, Validate | Transform | Aggregate):
        return value
    if isinstance(value, str):
        value = {"step": value}
    name = value.get("step") if isinstance(value, dict) else None
    model = STEPS.get(name) if isinstance(name, str) else None
    if model is None:
        raise PydanticCustomError(
            "unknown_step", "must be validate, transform or aggregate, or an object whose member step is one of these"
        )
    return model.model_validate(value)


def _choose_source(value: Any, handler: Callable[[Any], Any]) -> str | InlineRows:
    if isinstance(value, dict):
        return InlineRows.model_validate(value)
    if isinstance(value, str | InlineRows):
        return handler(value)  # type: ignore[no-any-return]  # the inner validator is that of the union
    raise PydanticCustomError("source_type", "must be the name of a source or an object with the member rows")


class DataProcessingParameters(Options):
    """Which data to process, and how."""

    input_source: Annotated[SourceName | InlineRows, WrapValidator(_choose_source)] = Field(
        description="The name of a source in the service's catalogue, or the rows themselves."
    )
    processing_steps: list[Annotated[StepName | ConfiguredStep, WrapValidator(_choose_step)]] = Field(
        min_length=1,
        max_length=MAX_STEPS,
        description="In order, and as often as needed. A bare name does what the source's catalogue entry says; an "
        "object gives the options itself.",
    )

    @property
    def steps(self) -> list[Step]:
        """The steps as models; the validator has turned bare names into steps without options."""
        return [step for step in self.processing_steps if not isinstance(step, str)]
