"""Text of others on a terminal: every character that it would obey is shown instead."""

import re

LAST_OF_LATIN_1 = 0xFF

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    """The text with every character escaped that a terminal would obey; `lines` lets line feeds stand."""
    if not lines:
        text = text.replace("\n", "\\n")
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code <= LAST_OF_LATIN_1 else f"\\u{code:04x}"
