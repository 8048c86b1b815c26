"""Rows as JSON: numbers stay numbers, dates and times are RFC 3339, what JSON cannot say is null."""

import json
from decimal import Decimal
from typing import Any, NamedTuple

from app.task_types.data_processing.column_types import TypeName
from app.task_types.data_processing.fragment import Fragment, bound, combine, join
from app.task_types.data_processing.session import Session
from app.task_types.data_processing.table import Table

MAX_RESULT_ROWS = 1_000
MAX_RESULT_BYTES = 512 * 1024
"""Of JSON text: half of what a result may be by default, so that everything else in it fits too."""


class Shown(NamedTuple):
    """The first rows of a table, and whether there are more."""

    rows: list[dict[str, Any]]
    truncated: bool


def show(session: Session, table: Table) -> Shown:
    """The first rows, at most MAX_RESULT_ROWS and MAX_RESULT_BYTES of them."""
    selected = join(", ", [_readable(column.sql, column.kind) for column in table.columns])
    query = combine("SELECT {} FROM {} ORDER BY r LIMIT {}", selected, table.sql, bound(MAX_RESULT_ROWS))
    shown: list[dict[str, Any]] = []
    size = 0
    for values in session.rows(query):
        row = {c.name: _value(v, c.kind) for c, v in zip(table.columns, values, strict=True)}
        size += len(json.dumps(row))
        if size > MAX_RESULT_BYTES:
            break
        shown.append(row)
    return Shown(shown, truncated=len(shown) < table.rows)


def _readable(value: Fragment, kind: TypeName) -> Fragment:
    """What the Python side gets: text for dates, since Python's own end at the year 9999."""
    match kind:
        case "number":
            return combine("CASE WHEN isfinite({0}) THEN {0} END", value)
        case "date" | "timestamp":
            return combine("CASE WHEN isfinite({0}) THEN CAST({0} AS VARCHAR) END", value)
        case _:
            return value


def _value(value: Any, kind: TypeName) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if kind == "timestamp" and value is not None:
        return value.replace(" ", "T") + "Z"
    return value
