"""A subject's calls on one replica: drawn ahead, used in time, never more than was drawn. The database is played."""

import asyncio
from collections.abc import Callable

import pytest

from app.protocol.rates import Drawn, Rate, Wish, draw
from app.security.errors import RateLimited
from app.security.rate_limits import SubjectLimits


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Level:
    """The table of the database, decided by the same rules, on the same clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.arrivals: dict[str, float] = {}
        self.wishes: list[Wish] = []
        self.away = False

    async def draw(self, subject: str, rate: Rate, wish: Wish) -> Drawn:
        await asyncio.sleep(0)
        self.wishes.append(wish)
        if self.away:
            raise OSError("the database is away")
        drawn = draw(rate, self.arrivals.get(subject, 0.0), self.clock.now, wish)
        self.arrivals[subject] = self.clock.now + drawn.debt_s
        return drawn


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def level(clock: Clock) -> Level:
    return Level(clock)


Make = Callable[[Rate | None], SubjectLimits]


@pytest.fixture
def make(level: Level, clock: Clock) -> Make:
    return lambda rate: SubjectLimits(level.draw, lambda _subject: rate, clock)


async def let_through(limits: SubjectLimits, calls: int, subject: str = "alice") -> int:
    """How many of so many calls at once are let through."""
    answers = await asyncio.gather(*(limits.take(subject) for _ in range(calls)), return_exceptions=True)
    assert all(
        answer is None or not isinstance(answer, BaseException) or isinstance(answer, RateLimited) for answer in answers
    )
    return sum(not isinstance(answer, BaseException) for answer in answers)


@pytest.mark.parametrize("limit", [1, 60, 100, 6000])
async def test_the_whole_limit_at_once_and_not_one_more(make: Make, limit: int) -> None:
    assert await let_through(make(Rate(limit, 60)), limit + 50) == limit


async def test_many_at_once_are_drawn_together(make: Make, level: Level) -> None:
    await let_through(make(Rate(6000, 60)), 1000)
    assert len(level.wishes) <= 3


async def test_two_replicas_share_one_limit(make: Make, clock: Clock) -> None:
    one, other = make(Rate(600, 60)), make(Rate(600, 60))
    passed = 0
    for _ in range(100):
        passed += sum(await asyncio.gather(let_through(one, 5), let_through(other, 5)))
        clock.now += 0.1
    assert passed <= 600 + 10 * 10 + 1
    assert passed >= 0.9 * (600 + 10 * 10)


async def test_a_steady_caller_seldom_waits_for_the_database(make: Make, level: Level, clock: Clock) -> None:
    limits = make(Rate(6000, 60))
    waited = 0
    for _ in range(1000):
        before = len(level.wishes)
        await limits.take("alice")
        waited += any(wish.wanted for wish in level.wishes[before:])
        # What is drawn in the background has its turn.
        for _ in range(5):
            await asyncio.sleep(0)
        clock.now += 0.02
    assert waited <= 10
    assert len(level.wishes) <= 150


async def test_what_was_held_too_long_is_lost(make: Make, level: Level, clock: Clock) -> None:
    limits = make(Rate(6000, 60))
    await let_through(limits, 100)
    await let_through(limits, 1)
    standing = limits.standing("alice")
    assert standing is not None
    assert standing.held(clock.now) > 0
    clock.now += 1.0
    assert standing.held(clock.now) == 0


async def test_a_flood_of_refused_calls_asks_nothing(make: Make, level: Level, clock: Clock) -> None:
    limits = make(Rate(60, 60))
    await let_through(limits, 61)
    asked = len(level.wishes)
    assert await let_through(limits, 500) == 0
    assert len(level.wishes) == asked
    with pytest.raises(RateLimited) as refused:
        await limits.take("alice")
    assert refused.value.retry_after_s == 1
    clock.now += 1.0
    assert await let_through(limits, 5) == 1


async def test_a_batch_counts_its_messages_all_or_none(make: Make) -> None:
    limits = make(Rate(60, 60))
    await limits.take("alice", 50)
    with pytest.raises(RateLimited) as refused:
        await limits.take("alice", 20)
    assert refused.value.retry_after_s == 10
    await limits.take("alice", 10)


async def test_a_batch_beyond_the_limit_says_so(make: Make) -> None:
    with pytest.raises(RateLimited) as refused:
        await make(Rate(60, 60)).take("alice", 61)
    assert refused.value.cost > refused.value.rate.limit


async def test_subjects_do_not_share(make: Make) -> None:
    limits = make(Rate(10, 60))
    assert await let_through(limits, 20, "alice") == 10
    assert await let_through(limits, 20, "bob") == 10


async def test_off_asks_and_counts_nothing(make: Make, level: Level) -> None:
    limits = make(None)
    assert await let_through(limits, 1000) == 1000
    assert (len(level.wishes), len(limits)) == (0, 0)


async def test_nobody_is_let_through_unasked_while_the_database_is_away(make: Make, level: Level) -> None:
    limits = make(Rate(60, 60))
    level.away = True
    with pytest.raises(OSError, match="away"):
        await limits.take("alice")
    level.away = False
    assert await let_through(limits, 100) == 60


async def test_a_caller_that_goes_away_holds_up_nobody(make: Make) -> None:
    limits = make(Rate(60, 60))
    gone = [asyncio.ensure_future(limits.take("alice")) for _ in range(10)]
    await asyncio.sleep(0)
    for each in gone:
        each.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert await let_through(limits, 10) == 10
    standing = limits.standing("alice")
    assert standing is not None
    assert standing.waiting == 0
    await limits.close()
