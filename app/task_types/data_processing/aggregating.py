"""The step `aggregate`: one row for each group, with the figures asked for."""

import duckdb

from app.task_types.data_processing.column_types import NUMERIC, TypeName, kind_of
from app.task_types.data_processing.compiling import first_line
from app.task_types.data_processing.fragment import Fragment, bound, combine, join
from app.task_types.data_processing.session import Session
from app.task_types.data_processing.steps import AggregateOptions, Metric, MetricFunction
from app.task_types.data_processing.table import Column, OptionError, Table

SUMMARISED_COLUMNS = 50
"""Numeric columns that the summary covers, where neither the step nor the source says what to aggregate."""

_NUMBERS_ONLY: frozenset[MetricFunction] = frozenset({"sum", "avg", "median", "quantile", "stddev"})

_SQL: dict[MetricFunction, str] = {
    "count": "count({})",
    "count_distinct": "count(DISTINCT {})",
    # Sums of doubles are compensated (Kahan), so that they hardly depend on the order of rows and threads.
    "sum": "sum({})",
    "avg": "favg({})",
    "min": "min({})",
    "max": "max({})",
    "median": "median({})",
    "quantile": "quantile_cont({}, {})",
    "stddev": "stddev_samp({})",
}


def aggregate(session: Session, table: Table, options: AggregateOptions | None, where: str) -> Table:
    """The table of groups, sorted. Without options: one row that summarises the numeric columns.

    Raises OptionError where an option does not fit the table.
    """
    wanted = options or _summary(table)
    keys = [table.column(name, f"{where}/group_by/{number}") for number, name in enumerate(wanted.group_by)]
    figures = [_figure(table, metric, f"{where}/metrics/{number}") for number, metric in enumerate(wanted.metrics)]
    names = [*wanted.group_by, *(metric.title for metric in wanted.metrics)]
    values = [*(key.sql for key in keys), *figures]
    selected = join(", ", [combine("{} AS {}", value, _field(number)) for number, value in enumerate(values)])
    groups = combine(" GROUP BY {}", join(", ", [key.sql for key in keys])) if keys else Fragment("")
    query = combine("SELECT {} FROM {}{}", selected, table.sql, groups)
    try:
        return _stored(session, table, query, names, wanted)
    except duckdb.DataError as error:
        raise OptionError(f"{where}/metrics", f"cannot be computed: {first_line(error)}") from error


def _field(number: int) -> Fragment:
    return Fragment(f"c{number}")


def _stored(session: Session, table: Table, query: Fragment, names: list[str], wanted: AggregateOptions) -> Table:
    """The groups, sorted and cut, as a table in place of the one they were made of."""
    kinds = [_settled(duckdb_type) for duckdb_type in session.types(query)]
    fields = [_field(number) for number in range(len(names))]
    limit = combine(" LIMIT {}", bound(wanted.limit)) if wanted.limit is not None else Fragment("")
    stored = session.create(
        combine(
            "SELECT row_number() OVER (ORDER BY {}) AS r, {} FROM ({}) ORDER BY r{}",
            join(", ", _order(names, wanted)),
            join(", ", fields),
            query,
            limit,
        )
    )
    session.drop(table.sql)
    columns = tuple(Column(name, field.text, kind) for name, field, kind in zip(names, fields, kinds, strict=True))
    return Table(stored, columns, session.count(stored))


def _settled(duckdb_type: str) -> TypeName:
    kind = kind_of(duckdb_type)
    assert kind is not None, duckdb_type  # figures of our types are of our types
    return kind


def _order(names: list[str], wanted: AggregateOptions) -> list[Fragment]:
    """Columns to sort by: those asked for, then the keys, so that equal figures come in a settled order."""
    asked = [
        combine("{} DESC NULLS LAST" if order.descending else "{} ASC NULLS LAST", _field(names.index(order.column)))
        for order in wanted.order_by
    ]
    keys = [combine("{} ASC NULLS LAST", _field(number)) for number in range(len(wanted.group_by))]
    return asked + keys or [Fragment("1")]


def _figure(table: Table, metric: Metric, where: str) -> Fragment:
    if metric.column is None:
        return Fragment("count(*)")
    column = table.column(metric.column, f"{where}/column")
    if metric.function in _NUMBERS_ONLY and column.kind not in NUMERIC:
        raise OptionError(f"{where}/column", f"{metric.function} needs numbers, and {column.name!r} is {column.kind}")
    if metric.function == "sum" and column.kind == "number":
        return combine("fsum({})", column.sql)
    if metric.function in ("median", "quantile"):
        # As doubles: a quantile between two integers is seldom one, and decimals would be cut to their scale.
        value = combine("CAST({} AS DOUBLE)", column.sql)
        quantile = () if metric.quantile is None else (bound(metric.quantile),)
        return combine(_SQL[metric.function], value, *quantile)
    return combine(_SQL[metric.function], column.sql)


def _summary(table: Table) -> AggregateOptions:
    functions: tuple[MetricFunction, ...] = ("sum", "avg", "min", "max")
    numeric = [column.name for column in table.columns if column.kind in NUMERIC][:SUMMARISED_COLUMNS]
    metrics = [
        Metric(function=function, column=name, name=f"{function}_{name}"[:255])
        for name in numeric
        for function in functions
    ]
    return AggregateOptions.model_construct(
        group_by=[], metrics=[Metric(function="count"), *metrics], order_by=[], limit=None
    )
