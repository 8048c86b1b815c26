"""The time of all nodes: the machine's at first, the database's where the two differ."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from app.clock import TOLERATED_S, Clock, utc_now


def test_it_begins_with_the_machines_time() -> None:
    before = time.time()
    assert before - 0.01 <= Clock().seconds() <= time.time() + 0.01
    assert abs(utc_now() - datetime.now(UTC)) < timedelta(seconds=TOLERATED_S)


def test_a_machine_whose_time_is_set_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    before = clock.seconds()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert before <= clock.seconds() < before + 60


@pytest.mark.parametrize("off_s", [-3600.0, 600.0, 2.0])
def test_it_is_set_where_the_database_differs(off_s: float, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    asked_s = clock.seconds()
    clock.follow(asked_s + off_s, asked_s)
    assert clock.seconds() == pytest.approx(asked_s + off_s, abs=0.5)
    assert ("ahead" if off_s < 0 else "behind") in caplog.text


@pytest.mark.parametrize("off_s", [-0.9, 0.0, 0.9])
def test_a_difference_that_may_be_the_ways_is_left(off_s: float, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    asked_s = clock.seconds()
    clock.follow(asked_s + off_s, asked_s)
    assert clock.seconds() == pytest.approx(asked_s, abs=0.5)
    assert not caplog.text


def test_an_answer_that_was_long_under_way_says_little() -> None:
    """The database looked at its clock at any time between the question and the answer."""
    clock = Clock()
    now_s = clock.seconds()
    clock.follow(now_s - 29, now_s - 30)
    assert clock.seconds() == pytest.approx(now_s, abs=0.5)
