"""Times on the wire: RFC 3339, always with a zone, always answered in UTC."""

import re
from datetime import UTC, datetime
from functools import lru_cache

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII)


def parse_time(text: object) -> datetime:
    """The moment that an RFC 3339 date-time names, in UTC.

    Raises ValueError with a sentence for the client: not a string, no zone, not a date-time.
    """
    if not isinstance(text, str):
        # ValueError: pydantic turns it into an error of the member.
        raise ValueError("must be a string with an RFC 3339 date-time, such as 2026-01-31T10:00:00Z")  # noqa: TRY004 - see above
    if not _RFC3339.fullmatch(text):
        if _WITHOUT_ZONE.fullmatch(text):
            raise ValueError("has no time zone: end it with Z or an offset such as +01:00")
        raise ValueError("must be an RFC 3339 date-time, such as 2026-01-31T10:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a date-time that exists") from None


@lru_cache(maxsize=1024)
def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds and `Z`; `moment` must be in UTC.

    Remembered, since the messages and hashes of one step name the same moment up to ten times: 0.1 us against 1.2 us.
    """
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"
