"""Pieces of SQL with the values bound to them."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class Fragment(NamedTuple):
    """SQL text of our own making, and the values for its question marks in order."""

    text: str
    values: tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text)


def bound(value: Any) -> Fragment:
    """A value of a user's: always a question mark in the text."""
    return Fragment("?", (value,))


def combine(template: str, *parts: Fragment) -> Fragment:
    """The template with `{}` for each part in order, or `{0}` for the first part, as often as it occurs."""
    used: list[Any] = []

    class _Part:
        def __init__(self, part: Fragment) -> None:
            self.part = part

        def __format__(self, _: str) -> str:
            used.extend(self.part.values)
            return self.part.text

    text = template.format(*(_Part(part) for part in parts))
    return Fragment(text, tuple(used))


def join(separator: str, parts: Iterable[Fragment]) -> Fragment:
    """The parts with a separator between them."""
    listed = list(parts)
    return Fragment(separator.join(part.text for part in listed), tuple(v for part in listed for v in part.values))
