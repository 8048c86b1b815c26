"""The step `validate`: which rows are kept out, and why."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.task_types.data_processing.column_types import read_as
from app.task_types.data_processing.compiling import Compiler
from app.task_types.data_processing.fragment import Fragment, bound, combine, join
from app.task_types.data_processing.session import Session
from app.task_types.data_processing.steps import Rule, ValidateOptions
from app.task_types.data_processing.table import WHOLE_LINE, Column, OptionError, Table

MAX_SAMPLES = 10
_SHOWN = bound(200)
"""Characters of a value that a sample shows."""


@dataclass(slots=True)
class Rejected:
    """Rows kept out so far: counted under the first reason each fails for, with the first few in full."""

    by_reason: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many rows and lines were kept out."""
        return self.by_reason.total()

    @property
    def room(self) -> int:
        """How many more samples there may be."""
        return MAX_SAMPLES - len(self.samples)

    def add(self, counts: Mapping[str, int], samples: Iterable[dict[str, Any]]) -> None:
        """More of them."""
        self.by_reason.update(counts)
        self.samples.extend(samples)


class _Check(NamedTuple):
    """A reason and the condition under which a row fails for it; `shown` is the text that was found wanting."""

    reason: str
    fails: Fragment
    name: str
    shown: Fragment


def validate(
    session: Session, table: Table, options: ValidateOptions, required: frozenset[str], rejected: Rejected, where: str
) -> Table:
    """The rows of the table that fail for nothing, and into `rejected` the others."""
    checks = _source_checks(table, required)
    fields = {column.name: column for column in table.columns}
    values = {column.name: column.sql for column in table.columns}
    compiler = Compiler(session, table)
    for number, rule in enumerate(options.rules):
        place = f"{where}/rules/{number}"
        column = table.column(rule.column, f"{place}/column")
        if rule.type is not None:
            value = read_as(_text(values[rule.column]), rule.type, rule.format)
            checks.append(_Check(f"{rule.column}.type", _unread(values[rule.column], value), rule.column, column.sql))
            fields[rule.column], values[rule.column] = Column(column.name, column.field, rule.type), value
        checks += _rule_checks(compiler, rule, values[rule.column], fields[rule.column], place)
    kept = _keep(session, table, checks, [fields[c.name] for c in table.columns], values, rejected)
    for rule in options.rules:
        if rule.unique:
            kept = _first_of_each(session, kept, kept.column(rule.column, where), rejected)
    return kept


def _text(value: Fragment) -> Fragment:
    return combine("CAST({} AS VARCHAR)", value)


def _unread(before: Fragment, after: Fragment) -> Fragment:
    return combine("({} IS NOT NULL AND {} IS NULL)", before, after)


def _source_checks(table: Table, required: frozenset[str]) -> list[_Check]:
    """What could not be read, and nulls where the source has none."""
    checks: list[_Check] = []
    if table.dirty:
        whole = Fragment(f"(p[1].c = {WHOLE_LINE})")
        checks.append(_Check("malformed", whole, "", Fragment("p[1].v")))
    for index, column in enumerate(table.columns):
        bad = Fragment(f"list_contains(list_transform(p, lambda x: x.c), {index})")
        if table.dirty and column.kind != "text":
            shown = Fragment(f"list_filter(p, lambda x: x.c = {index})[1].v")
            checks.append(_Check(f"{column.name}.type", bad, column.name, shown))
        if column.name in required:
            missing = combine("({} IS NULL AND coalesce(p[1].c, 0) >= 0 AND NOT coalesce({}, false))", column.sql, bad)
            fails = missing if table.dirty else combine("({} IS NULL)", column.sql)
            checks.append(_Check(f"{column.name}.required", fails, column.name, column.sql))
    return checks


def _rule_checks(compiler: Compiler, rule: Rule, value: Fragment, column: Column, where: str) -> list[_Check]:
    found: list[tuple[str, Fragment]] = []
    if rule.required:
        found.append(("required", combine("({} IS NULL)", value)))
    if rule.min is not None:
        _check_ordered(column, f"{where}/min")
        found.append(("min", combine("({} < {})", value, compiler.value(rule.min, column.kind, f"{where}/min"))))
    if rule.max is not None:
        _check_ordered(column, f"{where}/max")
        found.append(("max", combine("({} > {})", value, compiler.value(rule.max, column.kind, f"{where}/max"))))
    if rule.pattern is not None:
        if column.kind != "text":
            raise OptionError(f"{where}/pattern", f"needs text, and {column.name!r} is of type {column.kind}")
        compiler.check_pattern(rule.pattern, f"{where}/pattern")
        found.append(("pattern", combine("(NOT regexp_matches({}, {}))", value, bound(rule.pattern))))
    if rule.allowed is not None:
        listed = [compiler.value(one, column.kind, f"{where}/allowed/{n}") for n, one in enumerate(rule.allowed)]
        found.append(("allowed", combine("({} NOT IN ({}))", value, join(", ", listed))))
    return [_Check(f"{column.name}.{word}", fails, column.name, Fragment(column.field)) for word, fails in found]


def _check_ordered(column: Column, where: str) -> None:
    if column.kind == "boolean":
        raise OptionError(where, f"needs numbers, text or dates, and {column.name!r} is of type boolean")


def _keep(
    session: Session,
    table: Table,
    checks: list[_Check],
    columns: list[Column],
    values: Mapping[str, Fragment],
    rejected: Rejected,
) -> Table:
    """The table without the rows that fail a check; the very same one where all pass and no type changes."""
    any_fails = join(" OR ", [combine("coalesce({}, false)", check.fails) for check in checks]) or Fragment("false")
    failing = session.value(combine("SELECT count(*) FROM {} WHERE {}", table.sql, any_fails)) if checks else 0
    if failing:
        _account(session, table.sql, checks, any_fails, rejected)
    elif not table.dirty and columns == list(table.columns):
        return table
    selected = [combine("{} AS {}", values[column.name], column.sql) for column in columns]
    stored = session.create(combine("SELECT r, {} FROM {} WHERE NOT ({})", join(", ", selected), table.sql, any_fails))
    session.drop(table.sql)
    return Table(stored, tuple(columns), table.rows - failing)


def _account(session: Session, table: Fragment, checks: list[_Check], any_fails: Fragment, rejected: Rejected) -> None:
    """Counts the failing rows by their first reason and shows the first of them with every reason."""
    first = join(" ", [combine("WHEN {} THEN {}", check.fails, bound(n)) for n, check in enumerate(checks)])
    counts = session.rows(
        combine("SELECT CASE {} END AS f, count(*) FROM {} WHERE {} GROUP BY f ORDER BY f", first, table, any_fails)
    )
    flags = join(", ", [check.fails for check in checks])
    shown = join(", ", [combine("left(CAST({} AS VARCHAR), {})", check.shown, _SHOWN) for check in checks])
    rows = session.rows(
        combine(
            "SELECT r, [{}], [{}] FROM {} WHERE {} ORDER BY r LIMIT {}",
            flags, shown, table, any_fails, bound(rejected.room),
        )
    )  # fmt: skip
    rejected.add(
        {checks[number].reason: count for number, count in counts},
        [_sample(row, [c for c, fails in zip(checks, flagged, strict=True) if fails],
                 [text for text, fails in zip(texts, flagged, strict=True) if fails]) for row, flagged, texts in rows],
    )  # fmt: skip


def _sample(row: int, failed: list[_Check], texts: list[str | None]) -> dict[str, Any]:
    sample: dict[str, Any] = {"row": row, "reasons": [check.reason for check in failed]}
    whole = [text for check, text in zip(failed, texts, strict=True) if not check.name]
    if whole:
        return {**sample, "text": whole[0]}
    return {**sample, "values": {check.name: text for check, text in zip(failed, texts, strict=True)}}


def _first_of_each(session: Session, table: Table, column: Column, rejected: Rejected) -> Table:
    """Of rows with the same value only the first is kept; nulls are not compared."""
    repeats = session.create(
        combine(
            "SELECT r, {0} AS v FROM {1} WHERE {0} IS NOT NULL "
            "QUALIFY row_number() OVER (PARTITION BY {0} ORDER BY r) > 1",
            column.sql,
            table.sql,
        )
    )
    count = session.count(repeats)
    if count:
        _account_repeats(session, repeats, column, count, rejected)
        session.rows(combine("DELETE FROM {} WHERE r IN (SELECT r FROM {})", table.sql, repeats))
    session.drop(repeats)
    return Table(table.sql, table.columns, table.rows - count)


def _account_repeats(session: Session, repeats: Fragment, column: Column, count: int, rejected: Rejected) -> None:
    reason = f"{column.name}.unique"
    first = session.rows(
        combine(
            "SELECT r, left(CAST(v AS VARCHAR), {}) FROM {} ORDER BY r LIMIT {}", _SHOWN, repeats, bound(rejected.room)
        )
    )
    rejected.add(
        {reason: count}, [{"row": row, "reasons": [reason], "values": {column.name: text}} for row, text in first]
    )
