"""What is wrong with a message, member by member."""

import re
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
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be an array",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
}
_SUBJECT = re.compile(r"^(?:Value error, )?(?:(?:Input|String|List|Dictionary|Value|Number) should )?")
_KEY = "[key]"
"""Where pydantic finds fault with a name rather than with its value."""


def pointer_to(location: Iterable[str | int]) -> str:
    """The JSON Pointer of a path of names and indexes; "" is the whole message."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def member_errors(error: ValidationError, prefix: str = "") -> list[MemberError]:
    """A pydantic error as the client is told it, each pointer behind `prefix`."""
    return [member_error(each, prefix) for each in error.errors(include_url=False, include_input=False)]


def member_error(error: Any, prefix: str = "") -> MemberError:
    """One of pydantic's errors (a dictionary with type, loc and msg)."""
    location = error["loc"]
    if location and location[-1] == _KEY:
        return MemberError(prefix + pointer_to(location[:-1]), f"is a name that is not allowed: it {_detail(error)}")
    return MemberError(prefix + pointer_to(location), _detail(error))


def _detail(error: Any) -> str:
    known = _DETAILS.get(error["type"])
    if known is not None:
        return known
    found = _SUBJECT.match(error["msg"])
    assert found is not None, "every part of the pattern is optional"
    message: str = error["msg"][found.end() :]
    return (message if "should" not in found[0] else f"must {message}")[:500]


def as_json(errors: Sequence[MemberError]) -> list[dict[str, str]]:
    """The errors as a problem's `errors` member shows them (RFC 9457, section 3)."""
    return [{"pointer": error.pointer, "detail": error.detail} for error in errors]
