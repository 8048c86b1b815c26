"""What each submitter uses, counted in the journal's own statement, and its quotas, checked there.

Nothing is counted until the first quota is set (app/storage/usage.py turns it on): until then the statement only makes
sure that this is still so. From then on each batch locks the rows of use of the submitters for whom it changes
something, in order; leaves out what would go beyond a quota; and adds up what was really written. All of that is one
statement and so one decision, however many replicas write at once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from app.protocol.quotas import NO_LIMIT, UNLIMITED, Count, Quota
from app.storage.folding import Fold
from app.storage.rows import amounts_text


class Fragments(NamedTuple):
    """The parts of the journal's statement that count: common table expressions, the condition of each change, rows.

    `before` and `after` stand around those that write tasks, `condition` is for a row c of a change, and `answers` are
    further rows of the answer: (task_id or null, policy, limit, used).
    """

    before: str
    condition: str
    after: str
    answers: str


NOT_COUNTED = Fragments(
    before="",
    condition="NOT EXISTS (SELECT FROM quota_counting)",
    after="",
    answers="UNION ALL SELECT NULL, 'counting', NULL, NULL FROM quota_counting",
)
"""Writes nothing where use is counted, and says so."""

_PARAMETERS = (
    *("names", "ids", "places", "fresh", "queued", "running", "stored"),
    *("h_ids", "h_places", "h_units", "h_amounts"),
    *("most_queued", "most_running", "most_stored", "most_held"),
)
"""Of the templates below, in the order of `reckon`."""

_BEFORE = """
accounts AS MATERIALIZED (
    SELECT submitter, queued, running, stored_bytes, held FROM quota_usage
    WHERE submitter = ANY({names}::text[]) ORDER BY submitter COLLATE "C" FOR UPDATE
), limited AS MATERIALIZED (
    SELECT a.submitter, a.queued, a.running, a.stored_bytes, a.held,
        coalesce(q.queued, {most_queued}::bigint) AS most_queued,
        coalesce(q.running, {most_running}::bigint) AS most_running,
        coalesce(q.stored_bytes, {most_stored}::bigint) AS most_stored,
        coalesce(q.held, {most_held}::text::jsonb) AS most_held
    FROM accounts AS a LEFT JOIN quotas AS q ON q.submitter = a.submitter
), room AS MATERIALIZED (
    -- By place in the list of names: the arrays are read by subscript, where joins would be loops over loops.
    SELECT count(*) = cardinality({names}::text[]) AS whole,
        array_agg(most_queued - queued ORDER BY submitter COLLATE "C") AS queued,
        array_agg(most_running - running ORDER BY submitter COLLATE "C") AS running,
        array_agg(most_stored - stored_bytes ORDER BY submitter COLLATE "C") AS stored
    FROM limited
), asked AS MATERIALIZED (
    SELECT * FROM unnest({ids}::uuid[], {places}::integer[], {fresh}::boolean[], {queued}::integer[],
        {running}::integer[], {stored}::bigint[])
        WITH ORDINALITY AS a(task_id, place, fresh, queued, running, stored, number)
), asked_to_hold AS MATERIALIZED (
    SELECT * FROM unnest({h_ids}::uuid[], {h_places}::integer[], {h_units}::text[], {h_amounts}::bigint[])
        WITH ORDINALITY AS h(task_id, place, unit, amount, number)
), beyond AS MATERIALIZED (
    SELECT w.task_id
    FROM (
        SELECT task_id, place, unit, sum(amount) OVER (PARTITION BY place, unit ORDER BY number) AS wanted
        FROM asked_to_hold WHERE amount > 0
    ) AS w
    JOIN (SELECT * FROM limited WHERE most_held <> '{{}}') AS l ON l.submitter = ({names}::text[])[w.place]
    WHERE (l.most_held ->> w.unit)::bigint < w.wanted + coalesce((l.held ->> w.unit)::bigint, 0)
), refused AS MATERIALIZED (
    SELECT task_id, place, CASE WHEN over_queued THEN 'queued' WHEN over_stored THEN 'stored_bytes'
        WHEN over_running THEN 'running' ELSE 'held' END AS policy
    FROM (
        -- Only what is new is refused for what waits or is kept, and only a start for what runs: ends never.
        SELECT a.task_id, a.place,
            a.fresh AND a.queued > 0
                AND sum(a.queued) FILTER (WHERE a.fresh) OVER line > room.queued[a.place] AS over_queued,
            a.fresh AND sum(a.stored) FILTER (WHERE a.fresh) OVER line > room.stored[a.place] AS over_stored,
            a.running > 0
                AND sum(a.running) FILTER (WHERE a.running > 0) OVER line > room.running[a.place] AS over_running,
            (a.task_id IN (SELECT task_id FROM beyond)) IS TRUE AS over_held
        FROM asked AS a CROSS JOIN room
        WINDOW line AS (PARTITION BY a.place ORDER BY a.number)
    ) AS c
    WHERE over_queued OR over_stored OR over_running OR over_held
), """

_AFTER = """, spent AS (
    UPDATE quota_usage AS u
    SET queued = u.queued + d.queued, running = u.running + d.running, stored_bytes = u.stored_bytes + d.stored,
        held = CASE WHEN d.held IS NULL THEN u.held ELSE add_amounts(u.held, d.held) END
    FROM (
        SELECT place, sum(queued) AS queued, sum(running) AS running, sum(stored) AS stored,
            jsonb_object_agg(unit, amount) FILTER (WHERE amount <> 0) AS held
        FROM (
            SELECT place, NULL AS unit, sum(queued) AS queued, sum(running) AS running, sum(stored) AS stored,
                0 AS amount
            FROM asked AS c WHERE (c.task_id IN (SELECT task_id FROM written)) IS TRUE GROUP BY place
            UNION ALL
            SELECT place, unit, 0, 0, 0, sum(amount)
            FROM asked_to_hold AS c WHERE (c.task_id IN (SELECT task_id FROM written)) IS TRUE GROUP BY place, unit
        ) AS parts
        GROUP BY place
    ) AS d
    WHERE u.submitter = ({names}::text[])[d.place]
)"""

_ANSWERS = """
UNION ALL SELECT r.task_id, r.policy,
    CASE r.policy WHEN 'queued' THEN l.most_queued WHEN 'running' THEN l.most_running
        WHEN 'stored_bytes' THEN l.most_stored END,
    CASE r.policy WHEN 'queued' THEN l.queued WHEN 'running' THEN l.running WHEN 'stored_bytes' THEN l.stored_bytes END
FROM refused AS r JOIN limited AS l ON l.submitter = ({names}::text[])[r.place]
UNION ALL SELECT NULL, 'unknown', NULL, NULL FROM room WHERE NOT whole"""


def counted(first: int) -> Fragments:
    """Counts and checks. The parameters stand from $first on."""
    parameters = {name: f"${number}" for number, name in enumerate(_PARAMETERS, first)}
    return Fragments(
        before=_BEFORE.format(**parameters),
        condition="(c.task_id IN (SELECT task_id FROM refused)) IS NOT TRUE AND (SELECT whole FROM room)",
        after=_AFTER.format(**parameters),
        answers=_ANSWERS.format(**parameters),
    )


class Reckoning(NamedTuple):
    """What a batch changes: the submitters for whom it changes something, and the parameters of `counted`."""

    names: list[str]
    arguments: list[Sequence[Any]]


def reckon(folds: Sequence[Fold], default: Quota) -> Reckoning:
    """What the folds, in their order, add to or take from what their submitters use."""
    changes = [(fold, fold.counts) for fold in folds]
    changes = [(fold, counts) for fold, counts in changes if any(counts)]
    names = sorted({fold.task.submitter for fold, _ in changes})
    places = {name: place for place, name in enumerate(names, 1)}
    rows = [
        (fold.task.task_id, places[fold.task.submitter], fold.guard is None, *counts[:3]) for fold, counts in changes
    ]
    held = [
        (fold.task.task_id, places[fold.task.submitter], unit, amount)
        for fold, counts in changes
        for unit, amount in counts.held.items()
        if amount
    ]
    return Reckoning(names, [names, *_columns(rows, 6), *_columns(held, 4), *_limits(default)])


def number_of(limit: Count | None) -> int:
    """A limit as the database has it where one is set."""
    return NO_LIMIT if limit is None or limit == UNLIMITED else limit


def _limits(default: Quota) -> list[Any]:
    numbers = [number_of(limit) for limit in (default.queued, default.running, default.stored_bytes)]
    return [*numbers, amounts_text(default.limits())]


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width
