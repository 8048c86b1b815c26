"""When the other side asks to be called again: the Retry-After header (RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(text: bytes | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for; None for none or nonsense."""
    if text is None:
        return None
    if text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
        return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())
    # The library lets a number that no date has through to C code, which overflows.
    except (ValueError, OverflowError):
        return None
