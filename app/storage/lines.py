"""Lines: how what waits in the database is read by a claim, at a cost that does not grow with what waits.

A line is what one submitter has waiting in one priority for one kind of task and one request. Its tasks fit or do not
fit together and come by deadline, then by age, which is the order of the index `tasks_lines`. So the first of each line
is all that a claim has to know: a line that cannot be granted is stepped over as a whole, however long it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from app.protocol.task import Task
from app.storage.rows import amounts_text

LINES_OF_ONE = 8
"""Lines of one submitter in a row before a walk goes on to the next submitter."""

DUE_LIMIT = 500
"""Tasks due again that one look puts back into their lines."""

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


_KEY = "priority, submitter, type, shape"
_STEP = f"SELECT {_KEY} FROM tasks WHERE {WAITS} AND priority <= w.until"

# Three walks at once. 1: in the most urgent priority; 2: in all that are less urgent; 3: inside the lines of one
# submitter who has very many. Each step is one descent of the index (loose index scan), to the first task of the next
# line, or of the next submitter. What is due is so by the time of the statement: clock_timestamp() may change within
# it, and the index would be read whole, with all that is not due yet, to hold it against each.
LOOK = f"""
WITH RECURSIVE put_back AS (
    UPDATE tasks AS t SET due = true
    FROM (
        SELECT task_id FROM tasks
        WHERE state = 'Waiting' AND lease_owner IS NULL AND NOT due AND run_at <= statement_timestamp()
        ORDER BY run_at LIMIT {DUE_LIMIT} FOR UPDATE SKIP LOCKED
    ) AS again
    WHERE t.task_id = again.task_id
    RETURNING {", ".join("t." + name for name in _KEY.split(", "))}
), top AS (
    -- Not under the name of the column: ORDER BY would then sort everything by the output.
    SELECT priority::integer AS most_urgent FROM tasks WHERE {WAITS} ORDER BY {_KEY} LIMIT 1
), begin AS (
    SELECT p.*, most_urgent + (number = 2)::integer AS start, most_urgent AS top,
        (CASE number WHEN 1 THEN p.priority = most_urgent WHEN 2 THEN p.priority > most_urgent ELSE true END) IS TRUE
            AS kept
    FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::integer[])
        WITH ORDINALITY AS p({_KEY}, steps, number)
    CROSS JOIN top
), walk AS (
    SELECT number, steps, 0 AS step, 0 AS nth,
        CASE number WHEN 1 THEN top WHEN 2 THEN 32767 ELSE priority END AS until,
        CASE number WHEN 3 THEN submitter END AS within,
        CASE WHEN kept THEN priority ELSE start END AS priority,
        CASE WHEN kept THEN submitter ELSE '' END AS submitter,
        CASE WHEN kept THEN type ELSE '' END AS type,
        CASE WHEN kept THEN shape ELSE '' END AS shape
    FROM begin
    UNION ALL
    SELECT w.number, w.steps, w.step + 1,
        CASE WHEN n.submitter = w.submitter AND n.priority = w.priority THEN w.nth + 1 ELSE 1 END,
        w.until, w.within, n.priority::integer, n.submitter, n.type, n.shape
    FROM walk AS w CROSS JOIN LATERAL (
        ({_STEP} AND (w.nth < {LINES_OF_ONE} OR w.within IS NOT NULL)
            AND ({_KEY}) > (w.priority, w.submitter, w.type, w.shape) ORDER BY {_KEY} LIMIT 1)
        UNION ALL
        ({_STEP} AND w.nth >= {LINES_OF_ONE} AND w.within IS NULL
            AND (priority, submitter) > (w.priority, w.submitter) ORDER BY {_KEY} LIMIT 1)
    ) AS n
    WHERE w.step < w.steps AND (w.within IS NULL OR n.submitter = w.within)
)
SELECT number::integer, {_KEY} FROM walk WHERE step > 0
UNION ALL
SELECT 4, priority::integer, submitter, type, shape FROM put_back"""

# SKIP LOCKED: several nodes claim at once and none waits for another. The line is named by a range: for its submitter
# alone another index would do too, and for a week that was empty when the plan was made it would be taken.
# What came encrypted can be run where its key is: nodes that do not share all keys leave each other's tasks alone.
PICK = f"""
WITH picked AS (
    SELECT first.task_id
    FROM unnest($3::smallint[], $4::text[], $5::text[], $6::text[], $7::integer[]) AS w({_KEY}, wanted)
    CROSS JOIN LATERAL (
        SELECT task_id FROM tasks
        WHERE {WAITS} AND ({_KEY}) >= (w.priority, w.submitter, w.type, w.shape)
            AND ({_KEY}) <= (w.priority, w.submitter, w.type, w.shape)
            AND ($8::text[] IS NULL OR encryption IS NULL OR encryption->>'kid' = ANY($8))
        ORDER BY {_KEY}, deadline, task_id LIMIT w.wanted FOR UPDATE SKIP LOCKED
    ) AS first
)"""


def look_arguments(walks: Sequence[Walk]) -> list[list[Any]]:
    """The arrays of LOOK for its three walks."""
    keys = [walk.after or (None, None, None, None) for walk in walks]
    return [*(list(column) for column in zip(*keys, strict=True)), [walk.steps for walk in walks]]


def pick_arguments(wants: Sequence[Want], kids: Sequence[str] | None) -> list[list[Any] | None]:
    """The arrays of PICK; `kids` are the encryption keys that the claimer has, None where it needs none."""
    rows = [(*want.line, want.wanted) for want in wants]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], [], []]
    return [*columns, None if kids is None else list(kids)]


def seen_of(rows: Sequence[asyncpg.Record]) -> Seen:
    """What a look found."""
    seen = Seen([], [], [], [])
    for number, *line in rows:
        seen[number - 1].append(Line(*line))
    return seen
