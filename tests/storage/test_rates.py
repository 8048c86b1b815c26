"""Draws in the database: as the rules say, by its own clock, and by many at once never more than the limit."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from app.protocol.rates import Rate, Wish, draw
from app.storage.database import Database
from app.storage.errors import StorageUnavailable
from app.storage.rates import RateLevels
from tests.storage.stored import Store

MINUTE = Rate(60, 60)


@pytest.fixture
async def levels(store: Store) -> AsyncIterator[RateLevels]:
    made = RateLevels(store.database)
    yield made
    await made.close()


async def test_the_whole_limit_and_not_one_more(levels: RateLevels) -> None:
    drawn = await asyncio.gather(*(levels.draw("alice", MINUTE, Wish()) for _ in range(70)))
    assert sum(each.granted for each in drawn) == 60
    assert drawn[-1].debt_s == pytest.approx(60, abs=5)


async def test_subjects_in_one_statement_get_their_own_answers(levels: RateLevels) -> None:
    names = [f"subject-{number % 50}" for number in range(200)]
    drawn = await asyncio.gather(*(levels.draw(name, Rate(3, 3600), Wish()) for name in names))
    granted = [name for name, each in zip(names, drawn, strict=True) if each.granted]
    assert {name: granted.count(name) for name in names} == dict.fromkeys(names, 3)


async def test_replicas_that_draw_at_once_share_one_limit(store: Store) -> None:
    replicas = [RateLevels(Database(store.url, pool_size=1)) for _ in range(3)]
    rate = Rate(100, 3600)
    drawn = await asyncio.gather(*(replica.draw("alice", rate, Wish(1, more=2)) for replica in replicas * 40))
    assert sum(1 + each.beyond for each in drawn if each.granted) == 100
    for replica in replicas:
        await replica.close()


async def test_the_function_and_its_twin_decide_alike(levels: RateLevels, store: Store) -> None:
    """Over many standings. The moment of the decision is worked out from its answer."""
    dice = random.Random(4_711)
    for number in range(300):
        rate = Rate(dice.randint(1, 500), dice.choice([60, 3600]))
        wish = Wish(dice.randint(0, 300), dice.randint(0, 300), dice.randint(0, 300), dice.uniform(0, 1))
        subject, owed_s = f"subject-{number}", dice.uniform(-0.5, 1) * rate.window_s
        before = await store.sql.fetchval(
            "INSERT INTO rate_levels VALUES ($1, extract(epoch FROM clock_timestamp()) + $2) RETURNING arrival",
            *(subject, owed_s),
        )
        drawn = await levels.draw(subject, rate, wish)
        after = await store.sql.fetchval("SELECT arrival FROM rate_levels WHERE subject = $1", subject)
        assert drawn.granted or after == before
        if drawn.debt_s:
            expected = draw(rate, before, after - drawn.debt_s, wish)
            assert drawn[:2] == expected[:2]
            assert drawn.debt_s == pytest.approx(expected.debt_s, abs=1e-5)


async def test_who_owes_nothing_is_forgotten_and_who_owes_is_not(levels: RateLevels, store: Store) -> None:
    await levels.draw("owes", Rate(1, 3600), Wish())
    await store.sql.execute("INSERT INTO rate_levels VALUES ('paid', extract(epoch FROM now()) - 1)")
    await levels.forget()
    assert [row["subject"] for row in await store.sql.fetch("SELECT subject FROM rate_levels")] == ["owes"]


async def test_a_database_that_is_away_is_told() -> None:
    levels = RateLevels(Database("postgresql://nobody@127.0.0.1:9/none", pool_size=1))
    with pytest.raises(StorageUnavailable):
        await levels.draw("alice", MINUTE, Wish())
    await levels.close()
