"""What the journal writes for tasks with a callback: their deliveries, in the statement that writes their history.

So nothing that is recorded for a submitter can be forgotten on its way there. A batch without such a task is written by
the plain statement: callbacks cost the others nothing.
"""

import re
from collections.abc import Sequence
from typing import Any

from app.protocol.callbacks import Registration
from app.protocol.history import Item, MessageName, Party
from app.storage.folding import Fold

_NEW = (
    ("task_id", "uuid"),
    ("submitter", "text"),
    ("url", "text"),
    ("sink", "text"),
    ("events", "text"),
    ("acknowledged_by", "text"),
    ("sealed_secret", "bytea"),
    ("wanted_sequence", "integer"),
)
_CHANGED = (("task_id", "uuid"), ("wanted", "integer"), ("acknowledged", "integer"))

# Locked in the order of the ids, as by the sender: neither can lock the other out.
_CALLBACKS = """, registered AS (
    INSERT INTO deliveries ({names}, state, delivered_sequence, acknowledged_sequence, redeliver_until,
        attempts, failures, claim, waiting_since, next_attempt_at)
    SELECT {values}, 'active', 0, 0, 0, 0, 0, 0, clock_timestamp(), clock_timestamp()
    FROM {new}
    WHERE (c.task_id IN (SELECT task_id FROM written)) IS TRUE
), notified AS (
    UPDATE deliveries AS d
    SET wanted_sequence = greatest(d.wanted_sequence, c.wanted),
        acknowledged_sequence = greatest(d.acknowledged_sequence, c.acknowledged),
        waiting_since = CASE WHEN d.state <> 'active' THEN NULL
            WHEN c.wanted > d.delivered_sequence THEN coalesce(d.waiting_since, clock_timestamp())
            ELSE d.waiting_since END,
        next_attempt_at = CASE WHEN d.state <> 'active' THEN NULL
            -- The message that is sent again until it is acknowledged has been: on to the next one.
            WHEN d.next_attempt_at IS NOT NULL AND d.acknowledged_by = 'request'
                AND c.acknowledged > d.delivered_sequence THEN clock_timestamp()
            WHEN c.wanted > d.delivered_sequence THEN coalesce(d.next_attempt_at, clock_timestamp())
            ELSE d.next_attempt_at END
    FROM {changed}
    WHERE d.task_id = c.task_id AND (c.task_id IN (SELECT task_id FROM written)) IS TRUE
)
SELECT"""


def with_callbacks(statement: str) -> str:
    """The journal's statement with what it writes for callbacks; their arrays follow behind its own."""
    before, _, after = statement.rpartition("\nSELECT")
    first = max(int(number) for number in re.findall(r"\$(\d+)", statement)) + 1
    return before + (
        _CALLBACKS.format(
            names=", ".join(name for name, _ in _NEW),
            values=", ".join(f"c.{name}" for name, _ in _NEW),
            new=_unnest(_NEW, first),
            changed=_unnest(_CHANGED, first + len(_NEW)),
        )
        + after
    )


def _unnest(columns: Sequence[tuple[str, str]], first: int) -> str:
    arrays = ", ".join(f"${position}::{kind}[]" for position, (_, kind) in enumerate(columns, first))
    return f"unnest({arrays}) AS c({', '.join(name for name, _ in columns)})"


def callback_arguments(folds: list[Fold]) -> list[Sequence[Any]] | None:
    """The arrays for the tasks with a callback; None where there is none among them."""
    called = [fold for fold in folds if fold.task.callback]
    if not called:
        return None
    called.sort(key=lambda fold: fold.task.task_id)
    new = [_registered(fold, fold.task.registration) for fold in called if fold.guard is None]
    changed = [_noticed(fold) for fold in called if fold.guard is not None]
    return [*_columns(new, len(_NEW)), *_columns(changed, len(_CHANGED))]


def _registered(fold: Fold, registration: Registration | None) -> tuple[Any, ...]:
    assert registration is not None, "a new task with a callback knows where to"
    return (
        fold.task.task_id,
        fold.task.submitter,
        registration.url,
        registration.sink,
        None if registration.events is None else ",".join(registration.events),
        registration.acknowledge,
        registration.sealed_secret,
        _wanted(fold.items),
    )


def _noticed(fold: Fold) -> tuple[Any, ...]:
    acknowledged = any(item.name is MessageName.ACKNOWLEDGE for item in fold.items)
    return fold.task.task_id, _wanted(fold.items), fold.task.acknowledged if acknowledged else 0


def _wanted(items: Sequence[Item]) -> int:
    """The sequence of the last message to the submitter; 0 where there is none."""
    return max((item.sequence for item in items if item.recipient is Party.SUBMITTER), default=0)


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width
