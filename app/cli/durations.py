"""Spans of time as people type them: 90s, 30m, 1h30m, 2d."""

import re
from datetime import datetime, timedelta

from app.cli.failures import Usage
from app.protocol.times import format_time, parse_time

_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_UNITS_S = (86_400, 3600, 60, 1)
MAX_SPAN_S = 100 * 365 * 86_400


def parse_span(text: str) -> float:
    """Seconds. A number without a unit is seconds. Raises Usage."""
    match = _SPAN.fullmatch(text if not text.isdecimal() else f"{text}s")
    if not text or match is None:
        raise Usage(f"{text!r} is no span of time: write 90s, 30m, 1h30m or 2d")
    seconds = sum(float(number) * unit for number, unit in zip(match.groups(), _UNITS_S, strict=True) if number)
    if not 0 < seconds <= MAX_SPAN_S:
        raise Usage(f"{text!r} must be more than nothing and less than a hundred years")
    return seconds


def parse_moment(text: str, now: datetime) -> str:
    """An RFC 3339 date-time as it is, or a span counted from `now` (in UTC). Raises Usage."""
    if "T" in text.upper() or "-" in text:
        try:
            return format_time(parse_time(text))
        except ValueError as error:
            raise Usage(f"{text!r} {error}") from None
    return format_time(now + timedelta(seconds=parse_span(text)))


_SPELLED = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def spell_span(seconds: float) -> str:
    """A span for people, in its two largest units: 3.2 s, 4 min 10 s, 2 h 5 min, 3 d 4 h."""
    whole = int(seconds)
    for unit_s, unit, smaller_s, smaller in _SPELLED:
        if whole >= unit_s:
            rest = whole % unit_s // smaller_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.1f} s"
