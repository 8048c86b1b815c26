"""How often subjects have called, over all replicas: drawn from one table, judged by the database's clock."""

from typing import NamedTuple

from sqlalchemy import delete, extract, func, select

from app.protocol.rates import Drawn, Rate, Wish
from app.storage.batching import Batcher
from app.storage.caller_tables import rate_levels
from app.storage.database import Database

MAX_BATCH = 200

# In the order of the subjects, so that two replicas never lock each other out.
_DRAW = """
SELECT d.granted, d.beyond, d.debt_s
FROM unnest($1::text[], $2::integer[], $3::double precision[], $4::integer[], $5::integer[], $6::integer[],
            $7::double precision[]) WITH ORDINALITY AS a(subject, rate, window_s, wanted, more, ahead, hold_s, number)
CROSS JOIN LATERAL draw_rate(a.subject, a.rate, a.window_s, a.wanted, a.more, a.ahead, a.hold_s) AS d
ORDER BY a.number"""


class _Ask(NamedTuple):
    subject: str
    rate: Rate
    wish: Wish


class RateLevels:
    """Draws for many subjects in one statement: what is asked for while one is under way goes into the next."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.dedicated("rates")
        self._batcher: Batcher[_Ask, Drawn] = Batcher(self._run, MAX_BATCH)

    async def draw(self, subject: str, rate: Rate, wish: Wish) -> Drawn:
        """Takes from the subject's rate (see app/protocol/rates.draw). Raises StorageUnavailable: nothing is certain.

        What an unanswered draw has taken is lost to the subject.
        """
        return await self._batcher.submit(_Ask(subject, rate, wish))

    async def forget(self) -> None:
        """Drops who owes nothing: an absent row means the same. Raises StorageUnavailable."""
        paid = rate_levels.c.arrival < extract("epoch", func.clock_timestamp())
        # What a draw has locked is left alone: the two could lock each other out.
        idle = select(rate_levels.c.subject).where(paid).with_for_update(skip_locked=True)
        async with self._database.connect() as connection:
            await connection.execute(delete(rate_levels).where(rate_levels.c.subject.in_(idle)))

    async def close(self) -> None:
        """Answers what is waiting and closes the connection."""
        await self._batcher.close()
        await self._connection.close()

    async def _run(self, asks: list[_Ask]) -> list[Drawn | Exception]:
        order = sorted(range(len(asks)), key=lambda position: asks[position].subject)
        rows = [
            (ask.subject, ask.rate.limit, float(ask.rate.window_s), *ask.wish)
            for ask in (asks[position] for position in order)
        ]
        found = await self._connection.fetch(_DRAW, *(list(column) for column in zip(*rows, strict=True)))
        answers: dict[int, Drawn] = {
            position: Drawn(row["granted"], row["beyond"], row["debt_s"])
            for position, row in zip(order, found, strict=True)
        }
        return [answers[position] for position in range(len(asks))]
