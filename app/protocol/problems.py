"""What is wrong with a message, member by member."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError


class MemberError(NamedTuple):
    """One member that is not acceptable: a JSON Pointer (RFC 6901) into the message, and a sentence with the fix."""

    pointer: str
    detail: str


_DETAILS = {
    "missing": "is required",
    "extra_forbidden": "is not a member of this object: remove it",
    "json_invalid": "is not JSON",
}


def pointer_to(location: Iterable[str | int]) -> str:
    """The JSON Pointer of a path of names and indexes; "" is the whole message."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def member_errors(error: ValidationError, prefix: str = "") -> list[MemberError]:
    """A pydantic error as the client is told it, each pointer behind `prefix`."""
    return [MemberError(prefix + pointer_to(each["loc"]), detail_of(each)) for each in error.errors(include_url=False)]


def detail_of(error: Any) -> str:
    """What one of pydantic's errors says, as words that follow the name of the member."""
    known = _DETAILS.get(error["type"])
    if known is not None:
        return known
    message: str = error["msg"]
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return message[:500]


def as_json(errors: Sequence[MemberError]) -> list[dict[str, str]]:
    """The errors as a problem's `errors` member shows them (RFC 9457, section 3)."""
    return [{"pointer": error.pointer, "detail": error.detail} for error in errors]
