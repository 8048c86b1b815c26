"""Looks and claims that begin at marks (see marks.py), and the sweep that looks at what lies before them."""

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from app.clock import clock
from app.protocol.ids import uuid7
from app.storage.database import DedicatedConnection
from app.storage.lines import (
    BACK,
    BEGIN,
    COLUMNS_OF_LINE,
    GOES_ON,
    KEY,
    LOOK,
    NTH,
    OPENS,
    PICK,
    PICK_STRAYS,
    PLACE,
    PUT_BACK,
    SEEN,
    SINCE,
    WAITS,
    Line,
    Place,
    Seen,
    Walk,
    Want,
    columns_of,
    key_of,
    look_arguments,
    pick_arguments,
    place_of,
    seen_of,
    since_of,
    text_of,
)
from app.storage.marks import STRAYS, Found, Marks, less
from app.storage.rows import in_order

LATE_S = 1.0
"""What was submitted so many seconds ago has been committed, but for rare ones, which a sweep finds."""

RECENT = 200
"""The last tasks of all: their lines are swept, and so have a mark, whoever claims them."""

# As the walk of LOOK, but from mark to mark. A step looks between two marks first, for lines that have none; then at
# the next mark, from its place on; and passes it where nothing waits there. `mark` counts the marks, in their order.
_WALK = f"""
    SELECT number, steps, passes, until, place, 0 AS step, 0 AS nth, false AS waits,
        NULL::integer AS priority, NULL AS submitter, NULL AS type, NULL AS shape,
        width_bucket(place, $6::text[]) + 1 AS mark
    FROM {{begin}}
    UNION ALL
    SELECT w.number, w.steps, w.passes, w.until, CASE WHEN n.waits THEN {GOES_ON} ELSE n.place END,
        w.step + n.waits::integer, CASE WHEN n.waits THEN {NTH} + 1 ELSE w.nth END, n.waits,
        coalesce(n.priority, w.priority), coalesce(n.submitter, w.submitter), n.type, n.shape, n.mark
    FROM {{walk}} AS w CROSS JOIN LATERAL (
        SELECT ($6::text[])[w.mark] COLLATE "C" AS place, ($7::timestamptz[])[w.mark] AS deadline,
            ($8::uuid[])[w.mark] AS task_id
    ) AS m
    CROSS JOIN LATERAL (
        (SELECT {COLUMNS_OF_LINE}, {KEY} AS place, w.mark, true AS waits FROM tasks
         WHERE {WAITS} AND {KEY} > w.place AND {KEY} < CASE WHEN m.place < w.until THEN m.place ELSE w.until END
         ORDER BY {KEY} LIMIT 1)
        UNION ALL
        (SELECT {COLUMNS_OF_LINE}, {KEY}, w.mark + 1, true FROM tasks
         WHERE m.place > w.place AND m.place < w.until
            AND {WAITS} AND {KEY} = m.place AND ({PLACE}) >= ({SINCE.format(row="m")})
         ORDER BY {PLACE} LIMIT 1)
        UNION ALL
        SELECT NULL, NULL, NULL, NULL, CASE WHEN m.place > w.place THEN m.place ELSE w.place END, w.mark + 1, false
        WHERE m.place < w.until
        LIMIT 1
    ) AS n
    WHERE w.step < w.steps
"""

_LOOK = f"""
WITH RECURSIVE {PUT_BACK.format(since=" AND run_at >= $9")}, head AS (
    SELECT 0::bigint AS number, 1 AS steps, false AS passes, '9' COLLATE "C" AS until, '' COLLATE "C" AS place
), lead AS ({_WALK.format(walk="lead", begin="head")}), top AS (
    SELECT priority AS most_urgent FROM lead WHERE waits
), {BEGIN}, walk AS ({_WALK.format(walk="walk", begin="begin")}){SEEN}"""

_LATELY = f"""
SELECT statement_timestamp() AS now, NULL::integer AS priority, NULL AS submitter, NULL AS type, NULL AS shape
UNION ALL
SELECT DISTINCT NULL::timestamptz, {COLUMNS_OF_LINE} FROM (
    SELECT {COLUMNS_OF_LINE} FROM tasks ORDER BY task_id DESC LIMIT {RECENT}
) AS recent"""

_PUT_BACK = f"""
WITH {PUT_BACK.format(since="")} SELECT {BACK}, {COLUMNS_OF_LINE}, deadline, task_id FROM put_back"""

# The last row says how long it took Postgres, which is about what claims from the head would take.
_SWEEP = f"""
WITH m AS MATERIALIZED (
    SELECT m.*, {key_of("m.")} AS place
    FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[])
        WITH ORDINALITY AS m({COLUMNS_OF_LINE}, deadline, task_id, number)
)
SELECT m.number, true AS before, f.deadline, f.task_id, NULL::float8 AS took_s FROM m CROSS JOIN LATERAL (
    SELECT deadline, task_id FROM tasks
    WHERE {WAITS} AND {KEY} = m.place AND ({PLACE}) < ({SINCE.format(row="m")}) AND {OPENS.format("$7")}
    ORDER BY {PLACE} LIMIT {STRAYS + 1}
) AS f
UNION ALL
SELECT m.number, false, f.deadline, f.task_id, NULL FROM m CROSS JOIN LATERAL (
    SELECT deadline, task_id FROM tasks
    WHERE {WAITS} AND {KEY} = m.place AND ({PLACE}) >= ({SINCE.format(row="m")}) AND {OPENS.format("$7")}
    ORDER BY {PLACE} LIMIT 1
) AS f
UNION ALL
SELECT 0, NULL, NULL, NULL, extract(epoch FROM clock_timestamp() - statement_timestamp())"""


class MarkedLines:
    """Looks at the lines and claims of them over one connection, from the marks on where they are in force.

    `take` is the end of a statement, which takes what was picked.
    """

    def __init__(self, connection: DedicatedConnection, marks: Marks, take: str) -> None:
        self._connection = connection
        self._marks = marks
        self._pick, self._pick_strays = PICK + take, PICK_STRAYS + take

    async def look(self, near: Walk, far: Walk, inside: Walk) -> Seen:
        """See `LOOK`. Lines in which something waits before the mark are among those where something has come back."""
        marks, walks = self._marks, look_arguments((near, far, inside))
        if not marks.in_force:
            rows = await self._connection.fetch(LOOK, *walks)
        else:
            places = [(text_of(line), *since_of(place)) for line, place in marks.places()]
            rows = await self._connection.fetch(_LOOK, *walks, *columns_of(sorted(places), 3), marks.swept_at)
        seen = seen_of(rows)
        marks.saw([*seen.near, *seen.far])
        put_back(marks, rows)
        if marks.in_force:
            seen.due.extend(marks.with_strays())
        return seen

    async def claim(
        self, owner: str, lease_s: float, wants: Sequence[Want], kids: Sequence[str] | None
    ) -> list[asyncpg.Record]:
        """Takes as many tasks of each line as are wanted, its first ones, or as are there."""
        opens, strays = None if kids is None else list(kids), self._marks.strays(wants)
        rows = []
        if strays:
            rows = await self._connection.fetch(self._pick_strays, owner, lease_s, *in_order(strays), opens)
            wants = less(wants, map(_line, rows))
        if wants:
            ranges = pick_arguments(self._marks.ranges(wants))
            rows += await self._connection.fetch(self._pick, owner, lease_s, *ranges, opens)
        taken = ((_line(row), place_of(row["deadline"], str(row["task_id"]))) for row in rows)
        self._marks.took(taken, _latest(clock.seconds()))
        return rows


class Sweep:
    """Looks from the heads on, over a connection for such, for what claims and looks that begin at marks pass by.

    `kids` are the encryption keys that the node has.
    """

    def __init__(self, connection: DedicatedConnection, marks: Marks, kids: Callable[[], Sequence[str]]) -> None:
        self._connection = connection
        self._marks = marks
        self._kids = kids

    async def sweep(self) -> bool:
        """One sweep; answers whether something waits before a mark. Raises StorageUnavailable."""
        (now, *_), *recent = await self._connection.fetch(_LATELY)
        put_back(self._marks, await self._connection.fetch(_PUT_BACK))
        asked = self._marks.to_sweep(Line(*key) for _, *key in recent)
        *rows, last = await self._connection.fetch(_SWEEP, *_arguments(asked), list(self._kids()))
        found = [Found([], None) for _ in asked]
        for number, before, deadline, task_id, _ in rows:
            place = place_of(deadline, str(task_id))
            if before:
                found[number - 1].before.append(place)
            else:
                found[number - 1] = found[number - 1]._replace(first=place)
        self._marks.judge(last["took_s"], len(asked))
        self._marks.swept_at = now
        return self._marks.swept(asked, found, _latest(now.timestamp()))


def put_back(marks: Marks, rows: Sequence[asyncpg.Record]) -> None:
    """Takes note of what a look has put back into its line."""
    for number, *key, deadline, task_id in rows:
        if number == BACK:
            marks.waits(Line(*key), place_of(deadline, str(task_id)))


def _latest(now_s: float) -> Place:
    return place_of(None, str(uuid7(int((now_s - LATE_S) * 1000), 0)))


def _line(row: asyncpg.Record) -> Line:
    return Line(row["priority"], row["submitter"], row["type"], row["shape"])


def _arguments(places: Sequence[tuple[Line, Place | None]]) -> list[Any]:
    return columns_of([(*line, *since_of(place)) for line, place in places], 6)
