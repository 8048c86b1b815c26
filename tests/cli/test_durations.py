"""Spans and moments as people type them."""

from datetime import UTC, datetime

import pytest

from app.cli.durations import parse_moment, parse_span, spell_span
from app.cli.failures import Usage

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5s", 1.5), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800), ("1d1h1m1s", 90_061)],
)
def test_spans(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "0", "0s", "-5m", "5 m", "1.5h", "30m1h", "\uff15m", "tomorrow", "99999999d", "nan"]
)
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(Usage):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30m", "2026-01-31T10:30:00.000000Z"),
        ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00.000000Z"),
        ("2026-02-01T01:00:00+01:00", "2026-02-01T00:00:00.000000Z"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["2026-02-01T00:00:00", "2026-02-30T00:00:00Z", "2026-02-01", "never"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(Usage):
        parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min"), (250, "4 min 10 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_spans_for_people(seconds: float, text: str) -> None:
    assert spell_span(seconds) == text
