"""What commands print: results on stdout, everything about the way there on stderr.

Text from a service is never trusted: it goes to the terminal escaped, and never as Rich's markup. Plain lines stand
here and tables in tables.py, so that a command which prints no table starts without Rich.
"""

import sys
from typing import TextIO

from app.telemetry.printable import printable


def say(text: str) -> None:
    """A line of the result."""
    _write(sys.stdout, printable(text, lines=True))


def tell(text: str) -> None:
    """A line beside the result."""
    _write(sys.stderr, printable(text, lines=True))


def complain(text: str) -> None:
    """What went wrong, in red where there are colours."""
    if not sys.stderr.isatty():
        tell(text)
        return
    from app.cli.tables import cell, err  # noqa: PLC0415 - as above

    err().print(cell(text, "red", lines=True), soft_wrap=True)


def print_raw(text: str) -> None:
    """JSON exactly as it came: no wrapping, no rounding of large integers."""
    _write(sys.stdout, text.rstrip("\n"))


def _write(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()
