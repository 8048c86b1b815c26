"""The three steps and their options, as a submitter or the catalogue of sources writes them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.task_types.data_processing.column_types import TypeName
from app.task_types.data_processing.conditions import Condition
from app.task_types.data_processing.expressions import Expression
from app.task_types.data_processing.options import ColumnName, Integer, Number, Options, Scalar, Text, repeated

StepName = Literal["validate", "transform", "aggregate"]
MetricFunction = Literal[
    "count", "count_distinct", "sum", "avg", "min", "max", "median", "quantile", "stddev"
]  # fmt: skip


class Rule(Options):
    """What the values of one column must be. Nulls fail `required` only."""

    column: ColumnName
    required: bool = Field(default=False, description="No nulls.")
    type: TypeName | None = Field(default=None, description="Must read as this type, which the column then has.")
    format: Text | None = Field(
        default=None, description="For a type of date or timestamp: how it is written, such as %d.%m.%Y (strptime)."
    )
    min: Integer | Number | Text | None = Field(default=None, description="The least value; dates as strings.")
    max: Integer | Number | Text | None = Field(default=None, description="The greatest value; dates as strings.")
    pattern: Text | None = Field(
        default=None, description="A regular expression (RE2) that the text has to match somewhere."
    )
    allowed: list[Scalar] | None = Field(
        default=None, min_length=1, max_length=1000, description="The only values allowed."
    )
    unique: bool = Field(default=False, description="Of rows with the same value the first alone is kept.")

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if not (self.model_fields_set - {"column", "format"}):
            raise ValueError("a rule needs at least one of required, type, min, max, pattern, allowed, unique")
        if self.format is not None and self.type not in ("date", "timestamp"):
            raise ValueError("format goes with a type of date or timestamp")
        if isinstance(self.min, str) != isinstance(self.max, str) and None not in (self.min, self.max):
            raise ValueError("min and max must be of one type")
        return self


class ValidateOptions(Options):
    """Keeps bad rows out and counts them by reason."""

    rules: list[Rule] = Field(
        default_factory=list,
        max_length=500,
        description="Checked in this order, after the source's own types and required columns; a row is counted "
        "under the first reason it fails for.",
    )


class Derivation(Options):
    """A new column, or a new value for one that is there."""

    column: ColumnName
    expression: Expression


class TransformOptions(Options):
    """Changes rows and columns, in this order: trim, derive, filter, select, rename."""

    trim: bool = Field(default=False, description="Takes blanks off both ends of all texts; an empty text is null.")
    derive: list[Derivation] = Field(
        default_factory=list, max_length=200, description="In order; a later one may use an earlier one."
    )
    filter: Condition | None = Field(default=None, description="Keeps the rows for which this holds.")
    select: list[ColumnName] | None = Field(
        default=None, min_length=1, max_length=2000, description="Keeps these columns, in this order."
    )
    rename: dict[ColumnName, ColumnName] = Field(
        default_factory=dict, max_length=2000, description="Old names to new names."
    )

    @model_validator(mode="after")
    def _names_once(self) -> "TransformOptions":
        for member, names in (("select", self.select or []), ("rename", list(self.rename.values()))):
            if name := repeated(names):
                raise ValueError(f"{member} names {name!r} twice")
        return self


class Metric(Options):
    """One figure for each group. Nulls are left out, except by a count without a column."""

    function: MetricFunction
    column: ColumnName | None = Field(default=None, description="Every function but count needs one.")
    name: ColumnName | None = Field(default=None, description="Where left out, such as sum_amount, or count.")
    quantile: Number | None = Field(
        default=None, ge=0, le=1, description="For the function quantile: 0.95 is the 95th percentile."
    )

    @property
    def title(self) -> str:
        """The name of the figure's column in the result."""
        if self.name is not None:
            return self.name
        return self.function if self.column is None else f"{self.function}_{self.column}"

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "Metric":
        if self.column is None and self.function != "count":
            raise ValueError(f"{self.function} needs a column")
        if (self.quantile is None) == (self.function == "quantile"):
            raise ValueError("quantile goes with the function quantile, which needs it")
        return self


class Order(Options):
    """One column of the result to sort by. Nulls come last."""

    column: ColumnName
    descending: bool = False


class AggregateOptions(Options):
    """One row for each group, or one in all."""

    group_by: list[ColumnName] = Field(default_factory=list, max_length=64)
    metrics: list[Metric] = Field(default_factory=lambda: [Metric(function="count")], min_length=1, max_length=200)
    order_by: list[Order] = Field(
        default_factory=list, max_length=64, description="Where left out, and among equals, by the group_by columns."
    )
    limit: int | None = Field(default=None, ge=1, le=1_000_000, description="Keeps the first rows only.")

    @model_validator(mode="after")
    def _names_once(self) -> "AggregateOptions":
        titles = [*self.group_by, *(metric.title for metric in self.metrics)]
        if name := repeated(titles):
            raise ValueError(f"two columns of the result would be named {name!r}: give a metric another name")
        for order in self.order_by:
            if order.column not in titles:
                raise ValueError(f"order_by names {order.column!r}, which is neither in group_by nor a metric's name")
        return self


class Validate(ValidateOptions):
    """The step `validate` with options of its own; without any, those of the source."""

    step: Literal["validate"]


class Transform(TransformOptions):
    """The step `transform` with options of its own; without any, those of the source, or else trim."""

    step: Literal["transform"]


class Aggregate(AggregateOptions):
    """The step `aggregate` with options of its own; without any, those of the source, or else a summary."""

    step: Literal["aggregate"]


class StepDefaults(Options):
    """What the bare names of the steps mean for a source."""

    validate_: ValidateOptions = Field(default_factory=ValidateOptions, alias="validate")
    transform: TransformOptions = Field(default_factory=lambda: TransformOptions(trim=True))
    aggregate: AggregateOptions | None = None


ConfiguredStep = Annotated[Validate | Transform | Aggregate, Field(discriminator="step")]
