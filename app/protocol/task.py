"""The life of one task: its state and the messages that each step adds to its history.

A `Task` is read from its row (or made from a message), taken through one or more steps, and its
`change()` is then handed to the journal, which writes the new state and the new messages together or
not at all. The steps know the rules and nothing else: no clock, no database, no randomness.
"""

from dataclasses import dataclass, field
from datetime import datetime
from json.encoder import encode_basestring as quote
from typing import Any

from app.protocol.callbacks import Registration
from app.protocol.change import Change
from app.protocol.history import ERASED, GENESIS, ROUTES, Item, MessageName, chained, digest_of
from app.protocol.messages import RetryPolicy
from app.protocol.quotas import Account
from app.protocol.reasons import Reason
from app.protocol.resources import Amounts
from app.protocol.states import State, check_transition
from app.protocol.status import json_text, resources_json, status_json
from app.protocol.times import format_time


@dataclass(slots=True, eq=False)
class Task:
    """One task as this process knows it. Members ending in _json are exact JSON text."""

    task_id: str
    message_id: str
    idempotency_key: str
    content_digest: bytes
    submitter: str
    type: str
    priority: int
    submission: str
    """The submit_task message: exactly as it came in plain, or sealed."""
    deadline: datetime | None
    labels: dict[str, str]
    requested: Amounts
    timeout_s: float
    retry: RetryPolicy
    submitted_at: datetime
    retry_of: str | None = None
    encryption_json: str | None = None
    """Of a task that came encrypted: the wrapped key of its content. Nothing here reads it."""
    callback: bool = False
    """Its messages are sent to the submitter: there is a delivery beside it."""
    registration: Registration | None = None
    """The callback of a new task, for the journal to store; not read again with the task."""

    state: State = State.SUBMITTED
    version: int = 0
    attempt: int = 0
    allocation_attempts: int = 0
    progress: float | None = None
    progress_details_json: str | None = None
    reason: Reason | None = None
    error_json: str | None = None
    result_json: str | None = None
    waiting_json: str | None = None
    warning_json: str | None = None
    """What threatens it, such as a deadline that will be missed."""
    allocated: Amounts = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    run_at: datetime | None = None
    """When a Waiting task is due again."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    acknowledged: int = 0
    """Everything up to this sequence has reached the submitter, by its own word."""
    sequence: int = 0
    head_hash: str = GENESIS
    lease_owner: str | None = None

    _guard: int | None = None
    _account: Account | None = None
    _items: list[Item] = field(default_factory=list)
    identity_json: str | None = None
    """The part of the status that never changes, once it has been rendered."""

    # -- the submission ---------------------------------------------------------------------------

    def submit(self, now: datetime, *, valid: bool, as_sent: str | None = None) -> None:
        """SubmitTask has been received; `as_sent` is its text, where that is not the submission as it is kept.

        A message that is turned down is read and found wanting in one step, with no message between: its
        item shows the state in which the verdict fell, so that a history never jumps over Validating.
        """
        text = self.submission if as_sent is None else as_sent
        self.updated_at = now
        if not valid:
            self._move(State.VALIDATING)
        self._record(MessageName.SUBMIT_TASK, text, now)
        if valid:
            self._move(State.VALIDATING)

    def reject(self, now: datetime, error: dict[str, Any]) -> None:
        """The validators found the task not acceptable."""
        self._end(now, State.REJECTED, Reason.VALIDATION_FAILED, json_text(error))
        self._tell(MessageName.TASK_REJECTED, now)

    def accept(self, now: datetime, warning: dict[str, Any] | None = None) -> None:
        """The validators found nothing wrong: accepted, perhaps with a warning, and its resources are asked for."""
        self.warning_json = json_text(warning) if warning else None
        self._tell(MessageName.TASK_ACCEPTED, now)
        self.request_resources(now)

    # -- resources --------------------------------------------------------------------------------

    def request_resources(self, now: datetime) -> None:
        """The executor asks the resource manager for what the task needs."""
        self._move(State.RESOURCE_ALLOCATION)
        self.run_at = None
        self.waiting_json = None
        body = f'{{"resources":{resources_json(self.requested)}}}'
        self._exchange(MessageName.REQUEST_RESOURCES, "request_resources", body, now)

    def resources_unavailable(self, now: datetime, waiting: dict[str, Any], run_at: datetime) -> None:
        """The request was not granted in time: Waiting until `run_at`."""
        self.allocation_attempts += 1
        self._wait(run_at, waiting)
        self._exchange(MessageName.RESOURCES_UNAVAILABLE, "resources_unavailable", json_text(waiting), now)

    def allocate(self, now: datetime, node: str) -> None:
        """The whole request was granted on a node."""
        self.allocated = self.requested
        body = f'{{"resources":{resources_json(self.allocated)},"node":{quote(node)}}}'
        self._exchange(MessageName.RESOURCES_ALLOCATED, "resources_allocated", body, now)

    # -- execution --------------------------------------------------------------------------------

    def start(self, now: datetime) -> None:
        """An attempt begins."""
        self._move(State.EXECUTING)
        self.attempt += 1
        self.progress = 0.0
        self.progress_details_json = None
        self.error_json = None
        self.reason = None
        if self.started_at is None:
            self.started_at = now
        self._tell(MessageName.EXECUTION_STARTED, now)

    def report_progress(self, now: datetime, fraction: float, details: dict[str, Any]) -> None:
        """The handler says how far it is, 0..1."""
        self.progress = fraction
        self.progress_details_json = json_text(details) if details else None
        self._tell(MessageName.PROGRESS_UPDATE, now)

    def put_at_risk(self, now: datetime, warning: dict[str, Any]) -> None:
        """The submitter is warned, wherever the task stands."""
        self.warning_json = json_text(warning)
        self._tell(MessageName.PROGRESS_UPDATE, now)

    def complete(self, now: datetime, result_json: str, used: dict[str, float]) -> None:
        """The handler returned: Completing, resources released, Completed."""
        self._move(State.COMPLETING)
        self.result_json = result_json
        self._release(now, used)
        self.progress = 1.0
        self._end(now, State.COMPLETED, None, None)
        self._tell(MessageName.TASK_COMPLETED, now)

    def retry_later(
        self, now: datetime, run_at: datetime, reason: Reason, error: dict[str, Any], used: dict[str, float]
    ) -> None:
        """The attempt failed and another is due at `run_at`."""
        self._release(now, used)
        self.error_json = json_text(error)
        self._wait(run_at, {"reason": "retry", "after": reason, "attempt": self.attempt})
        self._tell(MessageName.PROGRESS_UPDATE, now)

    def fail(self, now: datetime, reason: Reason, error: dict[str, Any], used: dict[str, float] | None = None) -> None:
        """The task is over without a result."""
        self._release(now, used or {})
        self._end(now, State.FAILED, reason, json_text(error))
        self._tell(MessageName.TASK_FAILED, now)

    def request_cancel(self, now: datetime, by: str) -> None:
        """The submitter (or an admin) wants the task to stop. Recorded once."""
        if self.cancel_requested_at is not None:
            return
        self.cancel_requested_at = now
        body = json_text({"task_id": self.task_id, "requested_by": by})
        self._exchange(MessageName.CANCEL_TASK, "cancel_task", body, now)

    def acknowledge(self, now: datetime, sequence: int) -> None:
        """The submitter has received every message up to `sequence`. Recorded once; allowed in every state."""
        if sequence <= self.acknowledged:
            return
        self.acknowledged = sequence
        self._exchange(MessageName.ACKNOWLEDGE, "acknowledge", f'{{"sequence":{sequence}}}', now)

    def hand_back(self, now: datetime) -> None:
        """The executor is shutting down before the attempt could end: it does not count, and is due at once."""
        self._release(now, {})
        self.attempt -= 1
        self._wait(now, {"reason": "handed_back", "attempt": self.attempt})
        self._tell(MessageName.PROGRESS_UPDATE, now)

    @property
    def erased(self) -> bool:
        """Whether its content has been erased."""
        return self.submission == ERASED

    def change(self) -> Change:
        """Everything since the last change, as one change for the journal."""
        guard, items, before = self._guard, tuple(self._items), self._account
        self.version += 1
        self._guard = self.version
        self._account = Account(self.state, self.result_json, self.allocated)
        self._items.clear()
        return Change(self, guard, items, before, self._account)

    def loaded(self) -> "Task":
        """The task as just read from its row: the next change is guarded by the version read."""
        self._guard = self.version
        self._account = Account(self.state, self.result_json, self.allocated)
        return self

    # -- inside -----------------------------------------------------------------------------------

    def _move(self, target: State) -> None:
        check_transition(self.state, target)
        self.state = target

    def _wait(self, run_at: datetime, waiting: dict[str, Any]) -> None:
        self._move(State.WAITING)
        self.run_at, self.lease_owner = run_at, None
        self.waiting_json = json_text({**waiting, "next_attempt_at": format_time(run_at)})

    def _end(self, now: datetime, state: State, reason: Reason | None, error_json: str | None) -> None:
        self._move(state)
        self.finished_at = now
        self.reason = reason
        self.error_json = error_json
        self.waiting_json = self.warning_json = None
        self.run_at = self.lease_owner = None

    def _release(self, now: datetime, used: dict[str, float]) -> None:
        for unit, amount in used.items():
            # CPU seconds add up over attempts; a peak is the highest of them.
            before = self.used.get(unit, 0)
            self.used = {**self.used, unit: max(before, amount) if unit.startswith("peak_") else before + amount}
        if not self.allocated:
            return
        resources = resources_json(self.allocated)
        body = f'{{"resources":{resources}}}'
        self._exchange(MessageName.RELEASE_RESOURCES, "release_resources", body, now)
        self.allocated = {}
        body = f'{{"resources":{resources},"used":{json_text(used) if used else "{}"}}}'
        self._exchange(MessageName.RESOURCES_RELEASED, "resources_released", body, now)

    def _exchange(self, name: MessageName, kind: str, body: str, now: datetime) -> None:
        """A message that is not a task_status: between executor and resource manager, or from the submitter."""
        moment = format_time(now)
        text = (
            f'{{"type":"{kind}","header":{{"message_id":"{self.task_id}.{self.sequence + 1}",'
            f'"reference_id":{quote(self.message_id)},"timestamp":"{moment}"}},"body":{body}}}'
        )
        self._record(name, text, now)

    def _tell(self, name: MessageName, now: datetime) -> None:
        """A task_status message to the submitter; it carries its own sequence."""
        self.sequence += 1
        self.updated_at = now
        text = self.status_json()
        self.sequence -= 1
        self._record(name, text, now)

    def _record(self, name: MessageName, message: str, now: datetime) -> None:
        self.sequence += 1
        self.updated_at = now
        sender, recipient = ROUTES[name]
        previous, state, sequence = self.head_hash, self.state, self.sequence
        digest = digest_of(message)
        self.head_hash = chained(previous, self.task_id, sequence, name, sender, recipient, now, state, digest)
        self._items.append(Item(sequence, name, sender, recipient, now, state, message, previous, self.head_hash))

    def status_json(self, waiting_json: str | None = None) -> str:
        """The task_status message as it stands; `waiting_json` is a fresher account of why it waits."""
        return status_json(self, waiting_json)
