"""Conditions and expressions as SQL. Columns become internal names, values become question marks."""

from collections.abc import Callable
from typing import Any, assert_never

import duckdb

from app.task_types.data_processing.column_types import NUMERIC, STORED, TEMPORAL, TypeName, kind_of, read_as
from app.task_types.data_processing.conditions import AllOf, AnyOf, Comparison, Condition, Not
from app.task_types.data_processing.expressions import (
    Call,
    Choice,
    ColumnReference,
    Constant,
    Expression,
    FunctionName,
)
from app.task_types.data_processing.fragment import Fragment, bound, combine, join
from app.task_types.data_processing.session import Session
from app.task_types.data_processing.table import Column, OptionError, Table

_Combine = Callable[[list[Fragment]], Fragment]

_OPERATORS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_TEXT_TESTS = {
    "contains": "contains({}, {})",
    "starts_with": "starts_with({}, {})",
    "ends_with": "ends_with({}, {})",
    "matches": "regexp_matches({}, {})",
}


def _template(text: str) -> _Combine:
    return lambda arguments: combine(text, *arguments)


def _between(separator: str) -> _Combine:
    return lambda arguments: combine("({})", join(separator, arguments))


def _listed(function: str) -> _Combine:
    return lambda arguments: combine(f"{function}({{}})", join(", ", arguments))


def _cast(kind: TypeName) -> _Combine:
    return lambda arguments: read_as(combine("CAST({} AS VARCHAR)", arguments[0]), kind)


FUNCTIONS: dict[FunctionName, _Combine] = {
    "add": _between(" + "),
    "subtract": _between(" - "),
    "multiply": _between(" * "),
    # A division by zero has no value; DuckDB would end the whole query.
    "divide": _template("({} / nullif({}, 0))"),
    "modulo": _template("({} % nullif({}, 0))"),
    "absolute": _listed("abs"),
    "round": _listed("round"),
    "floor": _listed("floor"),
    "ceiling": _listed("ceil"),
    "smallest": _listed("least"),
    "largest": _listed("greatest"),
    "coalesce": _listed("coalesce"),
    "concat": _listed("concat"),
    "lower": _listed("lower"),
    "upper": _listed("upper"),
    "trim": _listed("trim"),
    "length": _listed("length"),
    "substring": _listed("substring"),
    "replace": _listed("replace"),
    "truncate": _listed("date_trunc"),
    "extract": _listed("date_part"),
    "difference": _listed("date_diff"),
    "to_text": _template("CAST({} AS VARCHAR)"),
    "to_integer": _cast("integer"),
    "to_number": _cast("number"),
    "to_decimal": _cast("decimal"),
    "to_boolean": _cast("boolean"),
    "to_date": _template("CAST({} AS DATE)"),
    "to_timestamp": _cast("timestamp"),
}


class Compiler:
    """Compiles what is asked of one table; `where` in its methods is the JSON pointer that errors name."""

    def __init__(self, session: Session, table: Table) -> None:
        self._session = session
        self._table = table

    # -- values ---------------------------------------------------------------------------------------

    def value(self, value: Any, kind: TypeName, where: str) -> Fragment:
        """A value to compare with a column of this type. Raises OptionError where it is of another type."""
        if kind in NUMERIC and isinstance(value, int | float) and not isinstance(value, bool):
            return bound(value)
        if kind == "boolean" and isinstance(value, bool):
            return bound(value)
        if kind == "text" and isinstance(value, str):
            return bound(value)
        if kind in TEMPORAL and isinstance(value, str):
            return self._moment(value, kind, where)
        wanted = "string" if kind == "text" or kind in TEMPORAL else "number" if kind in NUMERIC else "boolean"
        raise OptionError(where, f"{value!r} does not fit a column of type {kind}: a {wanted} is needed")

    def _moment(self, text: str, kind: TypeName, where: str) -> Fragment:
        read = self._session.value(combine("SELECT CAST({} AS VARCHAR)", read_as(bound(text), kind)))
        if read is None:
            raise OptionError(where, f"{text!r} is not a {kind}")
        return combine(f"CAST({{}} AS {STORED[kind]})", bound(read))

    def check_pattern(self, pattern: str, where: str) -> None:
        """Raises OptionError for what is no regular expression."""
        try:
            self._session.rows(combine("SELECT regexp_matches('', {})", bound(pattern)))
        except duckdb.Error as error:
            raise OptionError(where, f"{pattern!r} is not a regular expression (RE2): {first_line(error)}") from None

    # -- conditions -----------------------------------------------------------------------------------

    def condition(self, condition: Condition, where: str) -> Fragment:
        """A condition as a boolean expression; null where a null leaves it open."""
        match condition:
            case Comparison():
                return self._comparison(condition, where)
            case AllOf():
                parts = [self.condition(part, f"{where}/all/{n}") for n, part in enumerate(condition.all)]
                return combine("({})", join(" AND ", parts))
            case AnyOf():
                parts = [self.condition(part, f"{where}/any/{n}") for n, part in enumerate(condition.any)]
                return combine("({})", join(" OR ", parts))
            case Not():
                return combine("(NOT {})", self.condition(condition.not_, f"{where}/not"))
            case _:
                assert_never(condition)

    def _comparison(self, test: Comparison, where: str) -> Fragment:
        column = self._table.column(test.column, f"{where}/column")
        operator = test.operator
        if operator in ("is_null", "is_not_null"):
            return combine("({} IS NULL)" if operator == "is_null" else "({} IS NOT NULL)", column.sql)
        if operator in _TEXT_TESTS and column.kind != "text":
            raise OptionError(f"{where}/column", f"{operator} needs text, and {column.name!r} is of type {column.kind}")
        if operator in ("in", "not_in", "between"):
            return self._listed(column, test, where)
        right = self._right(column, test, where)
        if operator in _TEXT_TESTS:
            return combine(_TEXT_TESTS[operator], column.sql, right)
        return combine(f"({{}} {_OPERATORS[operator]} {{}})", column.sql, right)

    def _right(self, column: Column, test: Comparison, where: str) -> Fragment:
        if test.other is None:
            if test.operator == "matches":
                self.check_pattern(str(test.value), f"{where}/value")
            return self.value(test.value, column.kind, f"{where}/value")
        other = self._table.column(test.other, f"{where}/other")
        if not _comparable(column.kind, other.kind):
            raise OptionError(
                f"{where}/other", f"{column.name!r} is of type {column.kind}, {other.name!r} of type {other.kind}"
            )
        return other.sql

    def _listed(self, column: Column, test: Comparison, where: str) -> Fragment:
        assert isinstance(test.value, list)
        values = [self.value(value, column.kind, f"{where}/value/{n}") for n, value in enumerate(test.value)]
        if test.operator == "between":
            return combine("({} BETWEEN {} AND {})", column.sql, *values)
        word = "IN" if test.operator == "in" else "NOT IN"
        return combine(f"({{}} {word} ({{}}))", column.sql, join(", ", values))

    # -- expressions ----------------------------------------------------------------------------------

    def expression(self, expression: Expression, where: str) -> tuple[Fragment, TypeName]:
        """An expression and the type of its values. Raises OptionError where types do not go together."""
        compiled = self._compile(expression, where)
        try:
            duckdb_type = self._session.types(combine("SELECT {} FROM {}", compiled, self._table.sql))[0]
        except duckdb.Error as error:
            raise OptionError(where, f"cannot be computed: {first_line(error)}") from None
        if "NULL" in duckdb_type:
            return Fragment("CAST(NULL AS VARCHAR)"), "text"
        kind = kind_of(duckdb_type)
        if kind is None:
            raise OptionError(where, f"gives a value of type {duckdb_type}, which no column can hold")
        if kind in ("timestamp", "number"):
            # Timestamps of any precision, and floats, become the one type that every later step expects.
            compiled = combine("CAST({} AS {})", compiled, Fragment(STORED[kind]))
        return compiled, kind

    def _compile(self, expression: Expression, where: str) -> Fragment:
        match expression:
            case ColumnReference():
                return self._table.column(expression.column, f"{where}/column").sql
            case Constant():
                return Fragment("NULL") if expression.value is None else bound(expression.value)
            case Call():
                arguments = [self._compile(a, f"{where}/arguments/{n}") for n, a in enumerate(expression.arguments)]
                return FUNCTIONS[expression.function](arguments)
            case Choice():
                return combine(
                    "(CASE WHEN {} THEN {} ELSE {} END)",
                    self.condition(expression.if_, f"{where}/if"),
                    self._compile(expression.then, f"{where}/then"),
                    self._compile(expression.else_, f"{where}/else") if expression.else_ else Fragment("NULL"),
                )
            case _:
                assert_never(expression)


def _comparable(left: TypeName, right: TypeName) -> bool:
    return left == right or {left, right} <= NUMERIC or {left, right} <= TEMPORAL


def first_line(error: Exception) -> str:
    """The first line of a DuckDB error; what follows quotes the query."""
    return str(error).split("\n", 1)[0][:300]
