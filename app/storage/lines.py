"""Lines: how what waits in the database is read by a claim, at a cost that does not grow with what waits.

A line is what one submitter has waiting in one priority for one kind of task and one request. Its tasks fit or do not
fit together and come by deadline, then by age, which is the order of the index `tasks_lines`. So the first of each line
is all that a claim has to know: a line that cannot be granted is stepped over as a whole, however long it is.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from app.protocol.task import Task
from app.storage.rows import amounts_text

LINES_OF_ONE = 8
"""Lines of one submitter in a row before a walk goes on to the next submitter."""

DUE_LIMIT = 500
"""Tasks due again that one look puts back into their lines."""

BACK = 4
"""In place of a walk's number: the task has come back into its line."""

# What may be claimed: written exactly as the index has it, or Postgres would not use it.
WAITS = "lease_owner IS NULL AND (state = 'ResourceAllocation' OR (state = 'Waiting' AND due))"


class Line(NamedTuple):
    """What one submitter has waiting in one priority for one kind of task and one request (its "shape")."""

    priority: int
    submitter: str
    type: str
    shape: str


class Want(NamedTuple):
    """So many tasks of a line, the first in its order."""

    line: Line
    wanted: int


class Place(NamedTuple):
    """Where a task stands in its line: those without a deadline come last, and each by its id, which is by age."""

    open: bool
    deadline: datetime | None
    task_id: str


class Range(NamedTuple):
    """So many tasks of a line, the first from a place on; from its head without one."""

    line: Line
    wanted: int
    since: Place | None


class Walk(NamedTuple):
    """So many steps from line to line, from the first one behind `after`; from the first of all without it."""

    after: Line | None
    steps: int


class Seen(NamedTuple):
    """The lines that a look found, in the order of the walks, and those to which tasks due again were put back."""

    near: list[Line]
    far: list[Line]
    inside: list[Line]
    due: list[Line]


def line_of(task: Task) -> Line:
    """The line in which a task waits."""
    return Line(task.priority, task.submitter, task.type, amounts_text(task.requested))


def place_of(deadline: datetime | None, task_id: str) -> Place:
    """The place of a task in its line."""
    return Place(deadline is None, deadline, task_id)


def _first(priority: str) -> str:
    """How the keys of a priority's lines begin. In the order of bytes, whatever the database's own order is."""
    return f"lpad(({priority} + 32768)::text, 5, '0') COLLATE \"C\""


def key_of(row: str) -> str:
    """A line as one value, of a row of that name with its columns."""
    return f"({_first(row + 'priority')}" + "".join(f" || chr(31) || {row}{name}" for name in LINE[1:]) + ")"


LINE = ("priority", "submitter", "type", "shape")
COLUMNS_OF_LINE = ", ".join(LINE)
COME_BACK = f"{BACK}, " + ", ".join(f"t.{name}" for name in (*LINE, "deadline", "task_id"))
"""What is told of a task `t` that has come back into its line (see marked_lines.put_back)."""

KEY = key_of("")
"""As the index has it. One value, since a search has to stop where the next line begins: of a comparison of rows
Postgres heeds the first column only for that, and would go on to the end of the priority. And no other index has it,
which might be taken for a week that was empty when the plan was made."""

PLACE = "coalesce(deadline, 'infinity'), task_id"
ORDER = f"{KEY}, {PLACE}"
"""Of the index: line by line, and each by deadline, then by age. Without a deadline comes last."""

# Places before and behind all lines of a priority, or of a submitter in it.
BEFORE_PRIORITY = _first("{priority}")
BEHIND_PRIORITY = f"({_first('{priority}')} || chr(32))"
BEFORE_SUBMITTER = f"({_first('{priority}')} || chr(31) || {{submitter}} || chr(31))"
BEHIND_SUBMITTER = f"({_first('{priority}')} || chr(31) || {{submitter}} || chr(32))"

PUT_BACK = f"""put_back AS (
    UPDATE tasks AS t SET due = true
    FROM (
        SELECT task_id FROM tasks
        WHERE state = 'Waiting' AND lease_owner IS NULL AND NOT due AND run_at <= statement_timestamp(){{since}}
        ORDER BY run_at LIMIT {DUE_LIMIT} FOR UPDATE SKIP LOCKED
    ) AS again
    WHERE t.task_id = again.task_id
    RETURNING {", ".join("t." + name for name in (*LINE, "deadline", "task_id"))}
)"""

# Three walks at once. 1: in the most urgent priority; 2: in all that are less urgent; 3: inside the lines of one
# submitter who has very many. Each begins behind `place` and ends before `until`.
BEGIN = f"""begin AS (
    SELECT number, steps, number < 3 AS passes,
        CASE number WHEN 1 THEN {BEHIND_PRIORITY.format(priority="most_urgent")} WHEN 2 THEN '9' COLLATE "C"
            ELSE {BEHIND_SUBMITTER.format(priority="p.priority", submitter="p.submitter")} END AS until,
        CASE WHEN kept THEN {key_of("p.")}
            ELSE {BEFORE_PRIORITY.format(priority="most_urgent + (number = 2)::integer")} END AS place
    FROM (
        SELECT p.*, most_urgent, (CASE number WHEN 1 THEN p.priority = most_urgent
            WHEN 2 THEN p.priority > most_urgent ELSE true END) IS TRUE AS kept
        FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::integer[])
            WITH ORDINALITY AS p({COLUMNS_OF_LINE}, steps, number)
        CROSS JOIN top
    ) AS p
)"""

# How many lines of one submitter have been found in a row, and behind which place the walk goes on.
NTH = "CASE WHEN n.submitter = w.submitter AND n.priority = w.priority THEN w.nth ELSE 0 END"
_BEHIND = BEHIND_SUBMITTER.format(priority="n.priority", submitter="n.submitter")
GOES_ON = f"CASE WHEN w.passes AND {NTH} + 1 >= {LINES_OF_ONE} THEN {_BEHIND} ELSE n.place END"

SEEN = f"""
SELECT number::integer, {COLUMNS_OF_LINE}, NULL::timestamptz AS deadline, NULL::uuid AS task_id FROM walk WHERE waits
UNION ALL
SELECT {BACK}, priority::integer, submitter, type, shape, deadline, task_id FROM put_back"""

# Each step is one descent of the index (loose index scan), to the first task of the next line, or of the next
# submitter. What is due is so by the time of the statement: clock_timestamp() may change within it, and the index
# would be read whole, with all that is not due yet, to hold it against each.
LOOK = f"""
WITH RECURSIVE {PUT_BACK.format(since="")}, top AS (
    -- Not under the name of the column: ORDER BY would then sort everything by the output.
    SELECT priority::integer AS most_urgent FROM tasks WHERE {WAITS} ORDER BY {KEY} LIMIT 1
), {BEGIN}, walk AS (
    SELECT number, steps, passes, until, place, 0 AS step, 0 AS nth, false AS waits,
        NULL::integer AS priority, NULL AS submitter, NULL AS type, NULL AS shape
    FROM begin
    UNION ALL
    SELECT w.number, w.steps, w.passes, w.until, {GOES_ON}, w.step + 1, {NTH} + 1, true,
        n.priority::integer, n.submitter, n.type, n.shape
    FROM walk AS w CROSS JOIN LATERAL (
        SELECT {COLUMNS_OF_LINE}, {KEY} AS place FROM tasks
        WHERE {WAITS} AND {KEY} > w.place AND {KEY} < w.until ORDER BY {KEY} LIMIT 1
    ) AS n
    WHERE w.step < w.steps
){SEEN}"""

OPENS = "({0}::text[] IS NULL OR encryption IS NULL OR encryption->>'kid' = ANY({0}))"
SINCE = (
    "coalesce({row}.deadline, CASE WHEN {row}.task_id IS NULL THEN '-infinity' ELSE 'infinity'::timestamptz END), "
    "coalesce({row}.task_id, '00000000-0000-0000-0000-000000000000')"
)
"""The place of a row of that name; without an id the head of the line."""

# SKIP LOCKED: several nodes claim at once and none waits for another. A claim can begin in the middle of a line: see
# marks.py. What came encrypted can be run where its key is: nodes that do not share all keys leave each other's alone.
PICK = f"""
WITH picked AS (
    SELECT first.task_id
    FROM unnest($3::smallint[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::timestamptz[], $9::uuid[])
        AS w({COLUMNS_OF_LINE}, wanted, deadline, task_id)
    CROSS JOIN LATERAL (
        SELECT task_id FROM tasks
        WHERE {WAITS} AND {KEY} = {key_of("w.")} AND ({PLACE}) >= ({SINCE.format(row="w")})
            AND {OPENS.format("$10")}
        ORDER BY {PLACE} LIMIT w.wanted FOR UPDATE SKIP LOCKED
    ) AS first
)"""

# Those that wait before the mark of their line.
PICK_STRAYS = f"""
WITH picked AS (
    SELECT t.task_id FROM unnest($3::uuid[]) AS stray(task_id) JOIN tasks AS t ON t.task_id = stray.task_id
    WHERE t.task_id BETWEEN $4 AND $5 AND {WAITS} AND {OPENS.format("$6")}
    FOR UPDATE OF t SKIP LOCKED
)"""


def look_arguments(walks: Sequence[Walk]) -> list[list[Any]]:
    """The arrays of LOOK for its three walks."""
    keys = [walk.after or (None, None, None, None) for walk in walks]
    return [*(list(column) for column in zip(*keys, strict=True)), [walk.steps for walk in walks]]


def pick_arguments(ranges: Sequence[Range]) -> list[list[Any]]:
    """The arrays of PICK."""
    return columns_of([(*each.line, each.wanted, *since_of(each.since)) for each in ranges], 7)


def text_of(line: Line) -> str:
    """The line's key, as KEY has it."""
    return "\x1f".join((f"{line.priority + 32768:05}", *line[1:]))


def since_of(place: Place | None) -> tuple[datetime | None, str | None]:
    """The deadline and the id of a place, as the statements take them."""
    return (None, None) if place is None else (place.deadline, place.task_id)


def columns_of(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as arrays, one for each column."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def seen_of(rows: Sequence[asyncpg.Record]) -> Seen:
    """What a look found."""
    seen = Seen([], [], [], [])
    for number, priority, submitter, kind, shape, *_ in rows:
        seen[number - 1].append(Line(priority, submitter, kind, shape))
    return seen
