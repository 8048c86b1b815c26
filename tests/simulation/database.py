"""A model of what the service asks of Postgres: one statement at a time, whole or not at all, judged by one clock.

It keeps rows as the columns of the real table, by way of the real storage/rows.py. tests/simulation/test_database.py
holds it against the real Postgres. `Laws` are what the guarantees rest on, each of which a mutation can break.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app.protocol.history import Item
from app.protocol.states import TERMINAL, State
from app.protocol.task import Task
from app.storage.claim import Held
from app.storage.errors import Conflict
from app.storage.folding import Fold
from app.storage.lines import DUE_LIMIT, Line, Seen, Walk, Want
from app.storage.rows import IDENTITY, STANDING, identity_of, task_of
from tests.resources.backlog import Backlog

Row = dict[str, Any]

_IDENTITY = [field.column for field in IDENTITY]
_STANDING = [field.column for field in STANDING]


@dataclass
class Laws:
    """What the database guarantees. All true in this world."""

    guards_versions: bool = True
    keeps_keys_unique: bool = True
    rescue_raises_version: bool = True


@dataclass
class ModelDatabase:
    """Every method is one transaction. `clock` is the database's own."""

    clock: Callable[[], datetime]
    laws: Laws = field(default_factory=Laws)
    rows: dict[str, Row] = field(default_factory=dict)
    history: defaultdict[str, list[Item]] = field(default_factory=lambda: defaultdict(list))
    trespasses: list[str] = field(default_factory=list)
    """Writes by others than the holder of the lease. The version is to keep them out."""

    # -- the journal --------------------------------------------------------------------------------

    def write(self, folds: Sequence[Fold], lease_s: float, writer: str) -> set[str]:
        """The journal's statement; answers the tasks that were written. `writer` is the node whose journal it is."""
        written = {fold.task.task_id for fold in folds if self._write(fold, lease_s, writer)}
        for fold in folds:
            if fold.task.task_id in written:
                self.history[fold.task.task_id].extend(fold.items)
        return written

    def _write(self, fold: Fold, lease_s: float, writer: str) -> bool:
        task_id = fold.task.task_id
        if fold.guard is None:
            if task_id in self.rows or self._taken(fold):
                return False
            words = {"cancel_requested_by": None, "acknowledgement_wanted": None, "due": False}
            identity = zip(_IDENTITY, identity_of(fold.task), strict=True)
            row = self.rows[task_id] = {"task_id": task_id, **dict(identity), **words}
        else:
            row = self.rows[task_id]
            if row["version"] != fold.guard and self.laws.guards_versions:
                return False
            if row["lease_owner"] not in (None, writer):
                self.trespasses.append(f"I5: {writer} wrote a task that {row['lease_owner']} holds (task {task_id})")
        row.update(zip(_STANDING, fold.standing, strict=True))
        self._lease(row, row["lease_owner"], lease_s)
        return True

    def _taken(self, fold: Fold) -> bool:
        """The key is that of another accepted task; rejected ones neither have keys nor mind."""
        if not self.laws.keeps_keys_unique or fold.standing[_STANDING.index("state")] == State.REJECTED:
            return False
        return self.find_submission(fold.task.submitter, fold.task.idempotency_key) is not None

    def recorded(self, task_id: str, head: str) -> bool:
        """A message with this hash stands in the task's history."""
        return any(item.hash == head for item in self.history[task_id])

    # -- leases -------------------------------------------------------------------------------------

    def look(self, near: Walk, far: Walk, inside: Walk) -> Seen:
        """Finds lines, and puts what is due again back into its line."""
        found = self._backlog().look(near, far, inside)
        now = self.clock()
        due = [row for row in self._free(State.WAITING) if not row["due"] and row["run_at"] <= now]
        due.sort(key=lambda row: row["run_at"])
        for row in due[:DUE_LIMIT]:
            row["due"] = True
        return found._replace(due=[_line(row) for row in due[:DUE_LIMIT]])

    def claim(self, node_id: str, lease_s: float, wants: Sequence[Want]) -> list[Task]:
        """Takes the first of each line."""
        taken = self._backlog().claim(wants)
        return self._take([self.rows[task_id] for _, task_id in taken], node_id, lease_s)

    def _free(self, state: State) -> list[Row]:
        return [row for row in self.rows.values() if row["lease_owner"] is None and row["state"] == state]

    def _backlog(self) -> Backlog:
        backlog = Backlog()
        due = [row for row in self._free(State.WAITING) if row["due"]]
        for row in (*self._free(State.RESOURCE_ALLOCATION), *due):
            deadline = row["deadline"]
            backlog.put(_line(row), row["task_id"], None if deadline is None else deadline.timestamp())
        return backlog

    def take_expired(self, node_id: str, lease_s: float, limit: int, holding: Sequence[str]) -> list[Task]:
        """Takes over what is held beyond its lease, but not what this node is holding itself."""
        now = self.clock()
        expired = [
            row
            for row in self.rows.values()
            if row["lease_owner"] is not None
            and row["lease_expires_at"] < now
            and not (row["lease_owner"] == node_id and row["task_id"] in holding)
        ]
        return self._take(expired[:limit], node_id, lease_s, raising=self.laws.rescue_raises_version)

    def take_own(self, node_id: str, lease_s: float, limit: int) -> list[Task]:
        """Takes over what a former process of this node was executing."""
        own = [row for row in self._held_by(node_id) if row["state"] == State.EXECUTING]
        return self._take(own[:limit], node_id, lease_s, raising=self.laws.rescue_raises_version)

    def take_overdue(self, node_id: str, lease_s: float, limit: int) -> list[Task]:
        """Takes what nobody holds and whose deadline has passed."""
        now = self.clock()
        overdue = [
            row
            for row in self.rows.values()
            if row["deadline"] is not None
            and row["finished_at"] is None
            and row["deadline"] <= now
            and row["lease_owner"] is None
        ]
        overdue.sort(key=lambda row: row["deadline"])
        return self._take(overdue[:limit], node_id, lease_s)

    def nearer_than_their_run(self, runs: Mapping[str, float], limit: int) -> list[Task]:
        """What nobody holds and is due sooner than its kind usually takes."""
        now = self.clock()
        near = [
            row
            for row in self.rows.values()
            if row["deadline"] is not None
            and row["finished_at"] is None
            and row["lease_owner"] is None
            and row["warning"] is None
            and row["type"] in runs
            and now <= row["deadline"] < now + timedelta(seconds=runs[row["type"]])
        ]
        near.sort(key=lambda row: row["deadline"])
        return [task_of(row) for row in near[:limit]]

    def extend(self, node_id: str, lease_s: float, task_ids: Sequence[str]) -> Held:
        """Keeps leases, and tells what was left for their holder."""
        held = [row for row in self._held_by(node_id) if row["task_id"] in task_ids]
        for row in held:
            self._lease(row, node_id, lease_s)
        return Held(
            {row["task_id"] for row in held},
            {row["task_id"]: row["cancel_requested_by"] for row in held if row["cancel_requested_by"]},
            {row["task_id"]: row["acknowledgement_wanted"] for row in held if _unheard(row)},
        )

    def give_back(self, node_id: str, task_ids: Sequence[str] | None) -> None:
        """Lets go of what has not started; of everything that has not where no tasks are named."""
        for row in self._held_by(node_id):
            if (task_ids is None or row["task_id"] in task_ids) and row["state"] in {
                State.RESOURCE_ALLOCATION,
                State.WAITING,
            }:
                self._lease(row, None, 0)
                row["version"] += 1

    def want_cancel(self, task_id: str, by: str) -> None:
        """Leaves word for a task's holder. Raises Conflict where nobody holds it."""
        row = self._held(task_id)
        row["cancel_requested_by"] = row["cancel_requested_by"] or by

    def want_acknowledgement(self, task_id: str, sequence: int) -> int:
        """The same for an acknowledgement."""
        row = self._held(task_id)
        wanted: int = max(row["acknowledgement_wanted"] or 0, sequence)
        row["acknowledgement_wanted"] = wanted
        return wanted

    def unheard_acknowledgements(self, limit: int) -> list[tuple[Task, int]]:
        """Word that nobody has recorded, for tasks that nobody holds."""
        rows = [row for row in self.rows.values() if row["lease_owner"] is None and _unheard(row)]
        rows.sort(key=lambda row: str(row["task_id"]))
        return [(task_of(row), row["acknowledgement_wanted"]) for row in rows[:limit]]

    def unheard_cancels(self, limit: int) -> list[tuple[Task, str]]:
        """The same for cancels."""
        rows = [row for row in self.rows.values() if row["lease_owner"] is None and _is_to_be_cancelled(row)]
        rows.sort(key=lambda row: str(row["task_id"]))
        return [(task_of(row), row["cancel_requested_by"]) for row in rows[:limit]]

    # -- reading ------------------------------------------------------------------------------------

    def get(self, task_id: str) -> Task | None:
        """The task as it is."""
        row = self.rows.get(task_id)
        return None if row is None else task_of(row)

    def find_submission(self, submitter: str, idempotency_key: str) -> Task | None:
        """The accepted task of this key."""
        key = (submitter, idempotency_key)
        accepted = (row for row in self.rows.values() if row["state"] != State.REJECTED)
        found = next((row for row in accepted if (row["submitter"], row["idempotency_key"]) == key), None)
        return None if found is None else task_of(found)

    def at_rest(self) -> bool:
        """Every task is over, and no word is left unheard."""
        return all(row["state"] in TERMINAL and not _unheard(row) for row in self.rows.values())

    def states(self) -> Counter[str]:
        """How many tasks are in each state."""
        return Counter(row["state"] for row in self.rows.values())

    # -- inside -------------------------------------------------------------------------------------

    def _take(self, rows: list[Row], node_id: str, lease_s: float, *, raising: bool = True) -> list[Task]:
        for row in rows:
            self._lease(row, node_id, lease_s)
            row["due"] = False
            row["version"] += raising
        return sorted((task_of(row) for row in rows), key=lambda task: (task.priority, task.task_id))

    def _lease(self, row: Row, owner: str | None, lease_s: float) -> None:
        row["lease_owner"] = owner
        row["lease_expires_at"] = None if owner is None else self.clock() + timedelta(seconds=lease_s)

    def _held_by(self, node_id: str) -> list[Row]:
        return [row for row in self.rows.values() if row["lease_owner"] == node_id]

    def _held(self, task_id: str) -> Row:
        row = self.rows.get(task_id)
        if row is None or row["lease_owner"] is None:
            raise Conflict
        return row


def _line(row: Row) -> Line:
    return Line(row["priority"], row["submitter"], row["type"], row["shape"])


def _unheard(row: Row) -> bool:
    return row["acknowledgement_wanted"] is not None and row["acknowledgement_wanted"] > row["acknowledged_sequence"]


def _is_to_be_cancelled(row: Row) -> bool:
    word: str | None = row["cancel_requested_by"]
    return word is not None and row["cancel_requested_at"] is None and row["finished_at"] is None
