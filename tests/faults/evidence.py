"""What was seen of a service: by its clients, in its database, on its machine. Plain data, from wherever it came."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Message:
    """One item of a history."""

    sequence: int
    name: str
    sender: str
    recipient: str
    recorded_at: str
    status: str
    message: str
    previous_hash: str
    hash: str


@dataclass
class TaskRow:
    """A task as its row has it; `allocated` in thousandths by unit. `key` is its submitter and idempotency key."""

    state: str
    attempt: int
    sequence: int
    head_hash: str
    allocated: dict[str, int]
    leased: bool
    acknowledged: int = 0
    key: tuple[str, str] | None = None


@dataclass
class Received:
    """What one consumer of one task was sent, in the order of arrival: sequences with the hashes of the messages.

    A stream is told everything. A sink is told what is meant `for_submitter` only, and may be told it again and again.
    `to_the_end` says that the consumer stayed until the last message.
    """

    consumer: str
    task_id: str
    messages: list[tuple[int, str]] = field(default_factory=list)
    for_submitter: bool = False
    to_the_end: bool = False


@dataclass
class Acknowledgements:
    """What a submitter has acknowledged of one task: every sequence that it sent, and those that were answered."""

    sent: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)


@dataclass
class Footprint:
    """What a process takes: resident memory (MiB), open files, children, connections to the database."""

    memory_mb: float
    files: int
    children: int
    connections: int


@dataclass
class Evidence:
    """Everything seen in one run. Members that stay empty were not looked at, and prove nothing.

    `accepted` are the tasks that a client was told of with 2xx; `told` is a history over HTTP; `named` are the tasks
    that the answers to one message_id named; `taken_twice` are message_ids under which other content was accepted.
    `samples` are sums of what was allocated, at moments; `runs` counts a task's side effects, where they are known.
    `pickups` are the seconds from the loss of an executor to the next attempt of each of its tasks, of which 95 of 100
    must be within `pickup_limit_s`. `answers` counts statuses, each with whether it had a Retry-After. `canaries` are
    secrets that no log may hold. `footprints` are a process's before and after the run, by its name.
    """

    accepted: set[str] = field(default_factory=set)
    named: dict[str, set[str]] = field(default_factory=dict)
    taken_twice: set[str] = field(default_factory=set)
    rows: dict[str, TaskRow] = field(default_factory=dict)
    histories: dict[str, list[Message]] = field(default_factory=dict)
    told: dict[str, list[Message]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    acknowledgements: dict[str, Acknowledgements] = field(default_factory=dict)
    capacity: dict[str, int] = field(default_factory=dict)
    samples: list[dict[str, int]] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)
    pickups: list[float] = field(default_factory=list)
    pickup_limit_s: float = 0.0
    answers: Counter[tuple[int, bool]] = field(default_factory=Counter)
    logs: dict[str, str] = field(default_factory=dict)
    canaries: set[str] = field(default_factory=set)
    footprints: dict[str, tuple[Footprint, Footprint]] = field(default_factory=dict)

    def acknowledged_by(self, task_id: str) -> Acknowledgements:
        """The acknowledgements of a task, to add to."""
        return self.acknowledgements.setdefault(task_id, Acknowledgements())
