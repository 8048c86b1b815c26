"""Times: what is a date-time on the wire, and how moments are written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.times import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-21T10:00:00Z", datetime(2024, 3, 21, 10, tzinfo=UTC)),
        ("2024-03-21t10:00:00z", datetime(2024, 3, 21, 10, tzinfo=UTC)),
        ("2024-03-21T10:00:00+01:00", datetime(2024, 3, 21, 9, tzinfo=UTC)),
        ("2024-03-21T10:00:00-05:30", datetime(2024, 3, 21, 15, 30, tzinfo=UTC)),
        ("2024-03-21T10:00:00-00:00", datetime(2024, 3, 21, 10, tzinfo=UTC)),
        ("2024-03-21T10:00:00.5Z", datetime(2024, 3, 21, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2024-03-21T10:00:00.123456789Z", datetime(2024, 3, 21, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2024-02-29T23:59:59Z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_what_is_a_date_time(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "must be a string"),
        (1711015200, "must be a string"),
        (datetime(2024, 3, 21, tzinfo=UTC), "must be a string"),
        ("", "must be an RFC 3339"),
        ("tomorrow", "must be an RFC 3339"),
        ("2024-03-21", "must be an RFC 3339"),
        ("2024-03-21 10:00:00Z", "must be an RFC 3339"),
        ("2024-03-21T10:00Z", "must be an RFC 3339"),
        ("2024-03-21T10:00:00.Z", "must be an RFC 3339"),
        ("20240321T100000Z", "must be an RFC 3339"),
        ("2024-W12-4T10:00:00Z", "must be an RFC 3339"),
        (" 2024-03-21T10:00:00Z", "must be an RFC 3339"),
        ("2024-03-21T10:00:00Z\n", "must be an RFC 3339"),
        ("٢٠٢٤-03-21T10:00:00Z", "must be an RFC 3339"),
        ("2024-03-21T10:00:00", "no time zone"),
        ("2024-03-21T10:00:00.25", "no time zone"),
        ("2024-03-21 10:00", "no time zone"),
        ("2024-02-30T10:00:00Z", "does not exist|exists"),
        ("2023-02-29T10:00:00Z", "exists"),
        ("2024-13-01T10:00:00Z", "exists"),
        ("2024-03-21T25:00:00Z", "exists"),
        ("2024-03-21T10:60:00Z", "exists"),
        ("2024-03-21T10:00:00+99:00", "exists"),
        ("0001-01-01T00:00:00+01:00", "exists"),
        ("9999-12-31T23:59:59-01:00", "exists"),
        ("0000-01-01T00:00:00Z", "exists"),
    ],
)
def test_what_is_none(value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_time(value)


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read_back(moment: datetime) -> None:
    text = format_time(moment)
    assert len(text) == 27
    assert text.endswith("Z")
    assert parse_time(text) == moment


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001 - the zone is added
    st.integers(-23 * 60, 23 * 60),
)
def test_any_zone(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_time(zoned.isoformat()) == zoned
