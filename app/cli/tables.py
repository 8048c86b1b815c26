"""Tables, colours and progress bars, by Rich."""

import sys
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.telemetry.printable import printable

PIPE_WIDTH = 10_000
"""Columns where the output is no terminal: wide enough that no row is folded for a script that reads it."""


def out() -> Console:
    """The console for results."""
    return _console(sys.stdout)


def err() -> Console:
    """The console for progress and complaints."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    # Made anew for each use: the streams may be replaced between two.
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def cell(value: Any, style: str = "", *, lines: bool = False) -> Text:
    """A value as the text of a table's cell, on one line unless `lines` may stand; None is empty."""
    return Text("" if value is None else printable(str(value), lines=lines), style=style)


def grid(rows: list[tuple[str, Text]]) -> Table:
    """Names and values in two columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table
