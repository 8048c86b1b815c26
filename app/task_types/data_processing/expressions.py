"""What `derive` may compute: a column, a constant, a function of expressions, or a choice between two."""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from app.task_types.data_processing.conditions import Condition
from app.task_types.data_processing.options import ColumnName, Options, Scalar, told_apart_by

FunctionName = Literal[
    "add", "subtract", "multiply", "divide", "modulo", "absolute", "round", "floor", "ceiling",
    "smallest", "largest", "coalesce",
    "concat", "lower", "upper", "trim", "length", "substring", "replace",
    "truncate", "extract", "difference",
    "to_text", "to_integer", "to_number", "to_decimal", "to_boolean", "to_date", "to_timestamp",
]  # fmt: skip

MANY = 16
ARITY: Mapping[FunctionName, tuple[int, int]] = {
    "add": (2, MANY), "subtract": (2, 2), "multiply": (2, MANY), "divide": (2, 2), "modulo": (2, 2),
    "absolute": (1, 1), "round": (1, 2), "floor": (1, 1), "ceiling": (1, 1),
    "smallest": (2, MANY), "largest": (2, MANY), "coalesce": (2, MANY),
    "concat": (2, MANY), "lower": (1, 1), "upper": (1, 1), "trim": (1, 1), "length": (1, 1),
    "substring": (2, 3), "replace": (3, 3),
    "truncate": (2, 2), "extract": (2, 2), "difference": (3, 3),
    "to_text": (1, 1), "to_integer": (1, 1), "to_number": (1, 1), "to_decimal": (1, 1), "to_boolean": (1, 1),
    "to_date": (1, 1), "to_timestamp": (1, 1),
}  # fmt: skip
"""How few and how many arguments each function takes."""

UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
FIRST_ARGUMENTS: Mapping[FunctionName, tuple[str, ...]] = {
    "truncate": UNITS,
    "extract": (*UNITS, "weekday"),
    "difference": UNITS,
}
"""The functions whose first argument is one of these constants."""


class ColumnReference(Options):
    """The value of a column."""

    column: ColumnName


class Constant(Options):
    """The same value in every row."""

    value: Scalar | None


class Call(Options):
    """A function of other expressions. Null in gives null out, except for coalesce, concat, smallest, largest."""

    function: FunctionName
    arguments: "list[Expression]" = Field(
        max_length=MANY, description="truncate, extract and difference take their unit, as a constant, first."
    )

    @model_validator(mode="after")
    def _takes(self) -> "Call":
        fewest, most = ARITY[self.function]
        if not fewest <= len(self.arguments) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise ValueError(f"{self.function} takes {wanted} arguments, not {len(self.arguments)}")
        self._check_first()
        return self

    def _check_first(self) -> None:
        allowed = FIRST_ARGUMENTS.get(self.function)
        first = self.arguments[0]
        if allowed and not (isinstance(first, Constant) and first.value in allowed):
            raise ValueError(
                f'the first argument of {self.function} is {{"value": unit}} with a unit of {", ".join(allowed)}'
            )


class Choice(Options):
    """One expression where a condition holds, another (or null) where it does not."""

    if_: Condition = Field(alias="if")
    then: "Expression"
    else_: "Expression | None" = Field(default=None, alias="else")


Expression = Annotated[
    ColumnReference | Constant | Call | Choice,
    told_apart_by({"column": ColumnReference, "value": Constant, "function": Call, "if": Choice}),
]

Call.model_rebuild()
Choice.model_rebuild()

assert set(ARITY) == set(get_args(FunctionName))
