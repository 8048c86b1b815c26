"""Retry-After as others write it: whatever it is, it raises nothing."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.outbound.retry_after import retry_after_s

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        (b"120", 120.0),
        (b"0", 0.0),
        (b"99999999999999999999", 999_999_999.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True).encode(), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True).encode(), 0.0),
        (b"soon", None),
        (b"-5", None),
        (b"\xff", None),
        (b"", None),
        (b"Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        (b"Mon, 01 Jan 2024 99999999999999:00:00 GMT", None),
        (b"Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
        (b"Mon, 01 Jan 0001 00:00:00 +2300", 0.0),
    ],
)
def test_what_a_retry_after_header_asks_for(text: bytes | None, seconds: float | None) -> None:
    assert retry_after_s(text, NOW) == seconds
