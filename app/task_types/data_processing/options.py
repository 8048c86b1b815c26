"""What all options have in common: strict models, names of columns, plain values, and unions told apart by a member."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WrapValidator
from pydantic_core import PydanticCustomError

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""The name of a column, spelled exactly as in the source: capitals count."""

Text = Annotated[str, StringConstraints(max_length=10_000)]
Integer = Annotated[int, Field(ge=INTEGER_MIN, le=INTEGER_MAX)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Scalar = bool | Integer | Number | Text
"""A value that is bound to a query, never written into it."""


class Options(BaseModel):
    """Options of a step or of a source: unknown members and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def told_apart_by(models: Mapping[str, type[Options]]) -> WrapValidator:
    """Chooses the model of a union by the first of these members that an object has.

    A union that pydantic tries member by member reports the errors of every branch, and one with a tag puts
    the tag into the place of the error; this reports the errors of the one branch meant, at their JSON places.
    """

    def choose(value: Any, _: Callable[[Any], Any]) -> Any:
        if isinstance(value, tuple(models.values())):
            return value
        if isinstance(value, dict):
            for member, model in models.items():
                if member in value:
                    return model.model_validate(value)
        raise PydanticCustomError(
            "unknown_form", "must be an object with one of the members {members}", {"members": ", ".join(models)}
        )

    return WrapValidator(choose)


def repeated(names: list[str]) -> str | None:
    """The first name that occurs twice, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
