"""Addresses that call without a valid token: counted in a table that stays small."""

import pytest

from app.protocol.rates import Rate
from app.security.address_limits import AddressLimits, network_of
from app.security.errors import RateLimited


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


THREE = Rate(3, 60)


def limits(rate: Rate | None = THREE, **options: int) -> tuple[AddressLimits, Clock]:
    clock = Clock()
    return AddressLimits(rate, clock=clock, **options), clock


def test_an_address_over_the_limit_is_refused_until_time_has_paid() -> None:
    found, clock = limits()
    for _ in range(3):
        found.check("10.0.0.1")
        found.charge("10.0.0.1")
    with pytest.raises(RateLimited) as refused:
        found.check("10.0.0.1")
    assert refused.value.retry_after_s == 20
    found.check("10.0.0.2")
    clock.now += 20
    found.check("10.0.0.1")


def test_a_call_that_was_not_charged_costs_nothing() -> None:
    found, _ = limits()
    for _ in range(100):
        found.check("10.0.0.1")
    assert len(found) == 0


def test_off_is_no_limit() -> None:
    found, _ = limits(None)
    for _ in range(100):
        found.charge("10.0.0.1")
        found.check("10.0.0.1")
    assert len(found) == 0


def test_a_flood_of_addresses_stays_in_a_bounded_table_and_the_worst_stay_known() -> None:
    found, _ = limits(capacity=1000)
    for number in range(100_000):
        found.charge(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        if number % 100 == 0:
            found.charge("192.0.2.1")
    assert len(found) <= 1000
    with pytest.raises(RateLimited):
        found.check("192.0.2.1")


def test_who_owes_nothing_is_forgotten_first() -> None:
    found, clock = limits(capacity=10)
    for number in range(10):
        found.charge(f"10.0.0.{number}")
    clock.now += 60
    found.charge("10.0.1.1")
    assert len(found) == 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("not an address", "not an address"),
        (None, ""),
    ],
)
def test_what_counts_as_one_address(address: str | None, network: str) -> None:
    assert network_of(address) == network
