"""What commands print: results on stdout, everything about the way there on stderr.

Text from a service is never trusted: it goes to the terminal escaped, and never as Rich's markup.
"""

import sys
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.telemetry.rendering import printable

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


def say(text: str) -> None:
    """A line of the result."""
    out().print(Text(printable(text, lines=True)), soft_wrap=True)


def tell(text: str) -> None:
    """A line beside the result."""
    err().print(Text(printable(text, lines=True)), soft_wrap=True)


def complain(text: str) -> None:
    """What went wrong, in red where there are colours."""
    err().print(Text(printable(text, lines=True), style="red"), soft_wrap=True)


def print_raw(text: str) -> None:
    """JSON exactly as it came: no wrapping, no rounding of large integers."""
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()


def cell(value: Any, style: str = "") -> Text:
    """A value as the text of a table's cell; None is empty."""
    return Text("" if value is None else printable(str(value)), style=style)


def grid(rows: list[tuple[str, Text]]) -> Table:
    """Names and values in two columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table
