"""What `filter` may ask of a row: comparisons of a column, joined by all, any and not."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from app.task_types.data_processing.options import ColumnName, Options, Scalar, told_apart_by

Operator = Literal[
    "=", "!=", "<", "<=", ">", ">=", "in", "not_in", "between", "is_null", "is_not_null",
    "contains", "starts_with", "ends_with", "matches",
]  # fmt: skip

BOTH_ENDS = 2
WITHOUT_VALUE = frozenset({"is_null", "is_not_null"})
WITH_LIST = frozenset({"in", "not_in", "between"})
WITH_TEXT = frozenset({"contains", "starts_with", "ends_with", "matches"})


class Comparison(Options):
    """A column against a value or against another column. A null is neither equal to anything nor different."""

    column: ColumnName
    operator: Operator
    value: Scalar | Annotated[list[Scalar], Field(min_length=1, max_length=1000)] | None = Field(
        default=None,
        description="A list for in, not_in and between (its two ends, both included); a regular expression (RE2) "
        "for matches; dates and times as RFC 3339 strings.",
    )
    other: ColumnName | None = Field(default=None, description="The column to compare with, in place of a value.")

    @model_validator(mode="after")
    def _fits(self) -> "Comparison":
        given = [name for name in ("value", "other") if getattr(self, name) is not None]
        if self.operator in WITHOUT_VALUE:
            if given:
                raise ValueError(f"{self.operator} takes no {given[0]}")
        elif len(given) != 1:
            raise ValueError(f"{self.operator} needs a value or another column, one of the two")
        elif self.other is not None:
            if self.operator in WITH_LIST or self.operator == "matches":
                raise ValueError(f"{self.operator} takes a value, not another column")
        else:
            self._check_value(self.value)
        return self

    def _check_value(self, value: Any) -> None:
        if (self.operator in WITH_LIST) != isinstance(value, list):
            raise ValueError(f"{self.operator} takes {'a list' if self.operator in WITH_LIST else 'one value'}")
        if self.operator == "between" and len(value) != BOTH_ENDS:
            raise ValueError("between takes a list of two values, the lower and the upper end")
        if self.operator in WITH_TEXT and not isinstance(value, str):
            raise ValueError(f"{self.operator} takes a string")


class AllOf(Options):
    """Every one of the conditions holds."""

    all: "list[Condition]" = Field(min_length=1, max_length=100)


class AnyOf(Options):
    """At least one of the conditions holds."""

    any: "list[Condition]" = Field(min_length=1, max_length=100)


class Not(Options):
    """The condition does not hold."""

    not_: "Condition" = Field(alias="not")


Condition = Annotated[
    Comparison | AllOf | AnyOf | Not,
    told_apart_by({"column": Comparison, "all": AllOf, "any": AnyOf, "not": Not}),
]

AllOf.model_rebuild()
AnyOf.model_rebuild()
Not.model_rebuild()
