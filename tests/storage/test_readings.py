"""Readings of submitters: one at a time of each, told again for a while that grows with what one took."""

import asyncio

from app.storage.readings import TOLD_AGAIN, Readings


class Source:
    """Answers how often it was asked, after so many seconds of a clock of its own."""

    def __init__(self, takes_s: float) -> None:
        self.now = 100.0
        self.asked = 0
        self._takes_s = takes_s

    def clock(self) -> float:
        return self.now

    async def read(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        self.now += self._takes_s
        return self.asked


async def test_those_who_ask_at_once_share_one_reading_of_their_own() -> None:
    source = Source(takes_s=1.0)
    readings = Readings[int](source.clock)
    assert await asyncio.gather(*(readings.of("alice", source.read) for _ in range(9))) == [1] * 9
    assert await readings.of("bob", source.read) == 2


async def test_what_took_long_is_told_for_longer() -> None:
    source = Source(takes_s=3.0)
    readings = Readings[int](source.clock, least_s=10.0)
    assert await readings.of("alice", source.read) == 1
    source.now += TOLD_AGAIN * 3.0 - 0.5
    assert await readings.of("alice", source.read) == 1
    source.now += 1.0
    assert await readings.of("alice", source.read) == 2


async def test_what_took_nothing_is_told_for_the_least_time() -> None:
    source = Source(takes_s=0.0)
    readings = Readings[int](source.clock, least_s=10.0)
    assert await readings.of("alice", source.read) == 1
    source.now += 9.5
    assert await readings.of("alice", source.read) == 1
    source.now += 1.0
    assert await readings.of("alice", source.read) == 2
