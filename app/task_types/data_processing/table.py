"""What a step works on: a DuckDB table whose columns bear internal names, so that no user's name is ever SQL."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.task_types.data_processing.column_types import TypeName
from app.task_types.data_processing.fragment import Fragment
from app.task_types.definition import PermanentError

NAMES_SHOWN = 30
WHOLE_LINE = -1
"""The position in `p` of a line that is no row at all."""


class OptionError(PermanentError):
    """An option does not fit the data; the message names the member that holds it."""

    def __init__(self, where: str, sentence: str) -> None:
        super().__init__(f"{where}: {sentence}")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the name that users know, the internal one, and its type."""

    name: str
    field: str
    kind: TypeName

    @property
    def sql(self) -> Fragment:
        """A reference to it."""
        return Fragment(self.field)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in `sql`: a row number `r`, the columns, and where `dirty` also `p`, the values that could not be read.

    `p` is a list of {c: position of the column, -1 for a whole line, v: the text}, or null.
    """

    sql: Fragment
    columns: tuple[Column, ...]
    rows: int
    dirty: bool = False

    def column(self, name: str, where: str) -> Column:
        """The column of that name. Raises OptionError naming the member where there is none."""
        return find_column(self.columns, name, where)


def find_column(columns: Sequence[Column], name: str, where: str) -> Column:
    """The column of that name. Raises OptionError naming the member where there is none."""
    for column in columns:
        if column.name == name:
            return column
    known = ", ".join(repr(column.name) for column in columns[:NAMES_SHOWN])
    more = f" and {len(columns) - NAMES_SHOWN} more" if len(columns) > NAMES_SHOWN else ""
    raise OptionError(where, f"there is no column {name!r}; there are {known}{more}")
