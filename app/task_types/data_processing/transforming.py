"""The step `transform`: trim, derive, filter, select, rename, in this order and in one pass over the rows."""

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from app.task_types.data_processing.compiling import Compiler, first_line
from app.task_types.data_processing.fragment import Fragment, combine, join
from app.task_types.data_processing.options import repeated
from app.task_types.data_processing.session import Session
from app.task_types.data_processing.steps import Derivation, TransformOptions
from app.task_types.data_processing.table import Column, OptionError, Table, find_column


def transform(session: Session, table: Table, options: TransformOptions, where: str) -> Table:
    """The table with its rows and columns changed. Raises OptionError where an option does not fit it."""
    draft = _trimmed(table) if options.trim else table
    for number, derivation in enumerate(options.derive):
        draft = _derived(session, draft, derivation, f"{where}/derive/{number}")
    draft = _filtered(session, draft, options, where)
    columns = _renamed(_selected(draft.columns, options, where), options, where)
    if draft is table:
        return replace(table, columns=columns)
    return _stored(session, table, draft, columns, where)


def _layer(table: Table, columns: Sequence[Column], values: Sequence[Fragment]) -> Table:
    """A table that is not stored yet: a query over another, which DuckDB merges with the next layer."""
    selected = [combine("{} AS {}", value, column.sql) for column, value in zip(columns, values, strict=True)]
    query = combine("(SELECT r, {} FROM {})", join(", ", selected), table.sql)
    return replace(table, sql=query, columns=tuple(columns))


def _trimmed(table: Table) -> Table:
    values = [combine("nullif(trim({}), '')", c.sql) if c.kind == "text" else c.sql for c in table.columns]
    return _layer(table, table.columns, values)


def _derived(session: Session, table: Table, derivation: Derivation, where: str) -> Table:
    value, kind = Compiler(session, table).expression(derivation.expression, f"{where}/expression")
    names = [column.name for column in table.columns]
    columns, values = list(table.columns), [column.sql for column in table.columns]
    if derivation.column in names:
        place = names.index(derivation.column)
        columns[place], values[place] = Column(derivation.column, columns[place].field, kind), value
    else:
        taken = max(int(column.field[1:]) for column in columns)
        columns.append(Column(derivation.column, f"c{taken + 1}", kind))
        values.append(value)
    return _layer(table, columns, values)


def _filtered(session: Session, table: Table, options: TransformOptions, where: str) -> Table:
    if options.filter is None:
        return table
    condition = Compiler(session, table).condition(options.filter, f"{where}/filter")
    return replace(table, sql=combine("(SELECT * FROM {} WHERE {})", table.sql, condition))


def _selected(columns: Sequence[Column], options: TransformOptions, where: str) -> list[Column]:
    if options.select is None:
        return list(columns)
    return [find_column(columns, name, f"{where}/select/{number}") for number, name in enumerate(options.select)]


def _renamed(columns: list[Column], options: TransformOptions, where: str) -> tuple[Column, ...]:
    for old in options.rename:
        find_column(columns, old, f"{where}/rename")
    renamed = tuple(Column(options.rename.get(c.name, c.name), c.field, c.kind) for c in columns)
    if twice := repeated([column.name for column in renamed]):
        raise OptionError(f"{where}/rename", f"two columns would be named {twice!r}")
    return renamed


def _stored(session: Session, table: Table, draft: Table, columns: tuple[Column, ...], where: str) -> Table:
    """The draft as a table in place of the old one. Raises OptionError for a value that cannot be computed."""
    selected = join(", ", [column.sql for column in columns])
    try:
        stored = session.create(combine("SELECT r, {} FROM {}", selected, draft.sql))
    except duckdb.DataError as error:
        raise OptionError(where, f"a value cannot be computed: {first_line(error)}") from error
    session.drop(table.sql)
    return Table(stored, columns, session.count(stored))
