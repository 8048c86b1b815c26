"""The journal's one statement, and how a batch becomes its arguments."""

from collections.abc import Sequence
from typing import Any

from app.protocol.history import Item
from app.protocol.times import format_time
from app.storage.callbacks import with_callbacks
from app.storage.counting import NOT_COUNTED, Fragments, counted
from app.storage.folding import Fold
from app.storage.rows import IDENTITY, STANDING, identity_of

_HISTORY = (
    ("task_id", "uuid"),
    ("sequence", "integer"),
    ("name", "text"),
    ("sender", "text"),
    ("recipient", "text"),
    ("recorded_at", "timestamptz"),
    ("status", "text"),
    ("message", "json"),
    ("previous_hash", "text"),
    ("hash", "text"),
)
_MESSAGE = [name for name, _ in _HISTORY].index("message")

SEPARATOR = "\x1f"
"""Stands between the values of a column of history. Such a column goes over as one text, which costs a task 30 us less
than ten arrays of eight values: the driver looks at each value of an array several times."""

# asyncpg has no array codec for these; Postgres reads them from their text.
_AS_TEXT = frozenset({"json", "jsonb"})


def _build_statement(counts: Fragments) -> str:
    """One statement for everything: new tasks, changed tasks, and the messages of those that were written.

    $1 is the lease in seconds; the arrays of columns follow in the order of `arguments`, then the bounds of the changed
    tasks' ids (see rows.in_order), then what counts. Each row of the answer is a task that was written; where `policy`
    is not null, one that was refused for it, or word about the counting.
    """
    names = [field.column for field in (*IDENTITY, *STANDING)]
    standing = [(field.column, field.type) for field in STANDING]
    identity = [(field.column, field.type) for field in IDENTITY]
    new, position = _unnest([("task_id", "uuid"), *identity, *standing], 2)
    keys = _again(["task_id", "submitter", "idempotency_key", "state"], [("task_id", "uuid"), *identity, *standing], 2)
    changed, position = _unnest([("task_id", "uuid"), ("guard", "integer"), *standing], position)
    messages = _split(_HISTORY, position)
    bounds = f"${position + len(_HISTORY)} AND ${position + len(_HISTORY) + 1}"
    lease = "CASE WHEN c.lease_owner IS NULL THEN NULL ELSE clock_timestamp() + make_interval(secs => $1) END"
    typed = {name: f"c.{name}::{kind}" for name, kind in (*identity, *standing)}
    history_names = [name for name, _ in _HISTORY]
    history_values = [f"c.{name}::{kind}" for name, kind in _HISTORY]
    return f"""
WITH {counts.before}keyed AS (
    INSERT INTO idempotency_keys (submitter, idempotency_key, task_id)
    SELECT c.submitter, c.idempotency_key, c.task_id
    FROM {keys}
    WHERE c.state <> 'Rejected' AND {counts.condition} AND NOT EXISTS (
        SELECT FROM idempotency_keys_before AS b
        WHERE b.submitter = c.submitter AND b.idempotency_key = c.idempotency_key
            -- A key is free again when its task has been dropped.
            AND b.task_id >= (SELECT oldest_kept FROM retention)
    )
    ON CONFLICT DO NOTHING
    RETURNING task_id
), inserted AS (
    INSERT INTO tasks (task_id, {", ".join(names)}, lease_expires_at)
    SELECT c.task_id, {", ".join(typed[name] for name in names)}, {lease}
    FROM {new}
    WHERE (c.state = 'Rejected' OR (c.task_id IN (SELECT task_id FROM keyed)) IS TRUE) AND {counts.condition}
    ON CONFLICT DO NOTHING
    RETURNING task_id
), updated AS (
    UPDATE tasks AS t
    SET {", ".join(f"{name} = {typed[name]}" for name, _ in standing)}, lease_expires_at = {lease}
    FROM {changed}
    WHERE t.task_id = c.task_id AND t.version = c.guard AND t.task_id BETWEEN {bounds}
        AND {counts.condition}
    RETURNING t.task_id
), written AS (
    SELECT task_id FROM inserted UNION ALL SELECT task_id FROM updated
), recorded AS (
    INSERT INTO history ({", ".join(history_names)})
    SELECT {", ".join(history_values)}
    FROM {messages}
    -- IS TRUE keeps this a hashed lookup: as a join it would be planned as a loop over the loop.
    WHERE (c.task_id IN (SELECT task_id FROM written)) IS TRUE
){counts.after}
SELECT task_id, NULL::text AS policy, NULL::bigint AS quota, NULL::bigint AS used FROM written
{counts.answers}"""


def _unnest(columns: Sequence[tuple[str, str]], first: int) -> tuple[str, int]:
    arrays = ", ".join(
        f"${position}::{'text' if kind in _AS_TEXT else kind}[]" for position, (_, kind) in enumerate(columns, first)
    )
    return f"unnest({arrays}) AS c({', '.join(name for name, _ in columns)})", first + len(columns)


def _again(names: Sequence[str], columns: Sequence[tuple[str, str]], first: int) -> str:
    """Some of the columns whose arrays stand from $first on, once more."""
    places = {name: f"${position}::{kind}[]" for position, (name, kind) in enumerate(columns, first)}
    return f"unnest({', '.join(places[name] for name in names)}) AS c({', '.join(names)})"


def _split(columns: Sequence[tuple[str, str]], first: int) -> str:
    arrays = ", ".join(
        f"string_to_array(${position}::text, E'\\x1f')" + ("" if kind in ("text", "json") else f"::{kind}[]")
        for position, (_, kind) in enumerate(columns, first)
    )
    return f"unnest({arrays}) AS c({', '.join(name for name, _ in columns)})"


_BEFORE = 1 + len(IDENTITY) + len(STANDING) + 2 + len(STANDING) + len(_HISTORY) + 2

STATEMENT = _build_statement(NOT_COUNTED)
COUNTING_STATEMENT = _build_statement(counted(2 + _BEFORE))
"""The same where use is counted; it takes the arguments of counting.reckon besides."""

CALLBACK_STATEMENT, COUNTING_CALLBACK_STATEMENT = with_callbacks(STATEMENT), with_callbacks(COUNTING_STATEMENT)
"""The same for batches with tasks whose messages are sent to their submitters; see callbacks.py."""


def arguments(folds: list[Fold]) -> list[Sequence[Any]]:
    """The arrays of the statement, rows in one order everywhere: two transactions then cannot lock each other out."""
    new = sorted((fold for fold in folds if fold.guard is None), key=_by_key)
    changed = sorted((fold for fold in folds if fold.guard is not None), key=_by_id)
    bounds = (_by_id(changed[0]), _by_id(changed[-1])) if changed else (None, None)
    new_rows = [(fold.task.task_id, *identity_of(fold.task), *fold.standing) for fold in new]
    changed_rows = [(fold.task.task_id, fold.guard, *fold.standing) for fold in changed]
    messages = [_texts(fold.task.task_id, item) for fold in folds for item in fold.items]
    return [
        *_columns(new_rows, 1 + len(IDENTITY) + len(STANDING)),
        *_columns(changed_rows, 2 + len(STANDING)),
        *_joined(messages),
        *bounds,
    ]


def _by_key(fold: Fold) -> tuple[str, str]:
    return fold.task.submitter, fold.task.idempotency_key


def _by_id(fold: Fold) -> str:
    return fold.task.task_id


def _texts(task_id: str, item: Item) -> tuple[str, ...]:
    """A row of history, in the order of _HISTORY; none of its values is empty or missing."""
    sequence, name, sender, recipient, recorded_at, status, message, previous_hash, item_hash = item[:9]
    moment = format_time(recorded_at)
    return (task_id, str(sequence), name, sender, recipient, moment, status, message, previous_hash, item_hash)


def _joined(rows: list[tuple[str, ...]]) -> list[str]:
    """The columns, each as one text. Raises ValueError for a message with a control character: that is no JSON."""
    columns = [SEPARATOR.join(column) for column in zip(*rows, strict=True)] if rows else [""] * len(_HISTORY)
    if rows and columns[_MESSAGE].count(SEPARATOR) != len(rows) - 1:
        raise ValueError("a message of the history holds a control character")
    return columns


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width
