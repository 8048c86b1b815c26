"""One log event as one line: JSON for machines, columns for people.

Whatever a value holds, a line stays one line and a terminal shows it as text: control characters (CR, LF, ESC,
and the C1 range, in which 0x9B starts a terminal command as ESC [ does) are escaped.
"""

import json
import re
from typing import Any

import orjson
import structlog

from app.telemetry.printable import printable

REDACTED = "[redacted]"

_TOKEN = re.compile(rb"\beyJ[\w-]{8,}\.[\w-]*\.[\w-]*(?:\.[\w-]*\.[\w-]*)?")
_BEARER = re.compile(rb"(?i)\b(bearer) +[\w.~+/=-]{8,}")
_URL_PASSWORD = re.compile(rb"(://[^\s:/@\"'\\]*:)[^\s/@\"'\\]+@")
# JSON leaves these as they are, but terminals obey DEL and C1, and some readers of logs split lines at U+2028.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029]")


def json_line(event: dict[str, Any]) -> bytes:
    """The event as compact JSON in UTF-8, its line feed included. What is no JSON is shown by its `str`."""
    try:
        line = orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # orjson refuses integers beyond 64 bits and halves of surrogate pairs; the slower encoder takes both.
        line = json.dumps(event, default=str).encode() + b"\n"
    if not line.isascii() or b"\x7f" in line:
        line = _UNSAFE_IN_JSON.sub(_json_escape, line.decode()).encode()
    return line


class ConsoleLine:
    """Renders events as columns, in colours where asked for. Tracebacks take lines of their own."""

    def __init__(self, *, colors: bool) -> None:
        self._renderer = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)

    def __call__(self, event: dict[str, Any]) -> bytes:
        """The event as text in UTF-8, its line feed included."""
        shown = {name: self._text(name, value) for name, value in event.items()}
        return self._renderer(None, "", shown).encode() + b"\n"

    def _text(self, name: str, value: object) -> object:
        if not isinstance(value, str):
            return value
        return printable(value, lines=name in ("exception", "stack"))


def redact(line: bytes) -> bytes:
    """The line with "[redacted]" in place of bearer tokens, compact JWTs and JWEs, and passwords in URLs."""
    # Looking for the marks costs less than a microsecond; the expressions alone would cost several.
    if b"eyJ" in line:
        line = _TOKEN.sub(REDACTED.encode(), line)
    if b"earer " in line or b"EARER " in line:
        line = _BEARER.sub(rb"\1 " + REDACTED.encode(), line)
    if b"://" in line:
        line = _URL_PASSWORD.sub(rb"\1" + REDACTED.encode() + b"@", line)
    return line


def _json_escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
