"""A node in simulated time: tasks arrive, are granted their resources by the real manager, run, and release them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from app.protocol.resources import Amounts
from app.resources.manager import ResourceManager
from app.resources.request import Request


@dataclass(slots=True)
class Job:
    """A task to be simulated. Times in seconds; `runs_s` is known to the simulation only."""

    task_id: str
    arrives: float
    runs_s: float
    submitter: str = "alice"
    priority: int = 1
    cpu: int = 1000
    licences: int = 0
    deadline: float | None = None
    kind: str = "job"
    timeout_s: float = 3600.0

    @property
    def amounts(self) -> Amounts:
        return {"cpu": self.cpu, **({"custom.licence": 1000 * self.licences} if self.licences else {})}

    def request(self) -> Request:
        return Request(
            self.task_id,
            self.submitter,
            self.priority,
            self.amounts,
            self.arrives,
            self.deadline,
            self.kind,
            self.timeout_s,
        )


class Simulation:
    """Runs jobs, which have to come in the order of their arrival, and notes when each started and ended."""

    def __init__(self, manager: ResourceManager) -> None:
        self.manager = manager
        self.now = 0.0
        self.started: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._running: list[tuple[float, int, Job]] = []
        self._numbers = count()
        self._waiting: dict[str, Job] = {}

    def run(self, jobs: Iterable[Job], until_started: str | None = None, until: float = 1e9) -> None:
        """Until all is done, until one job has started, or until a time."""
        coming = iter(jobs)
        following = next(coming, None)
        while (following or self._running) and until_started not in self.started and self.now < until:
            self._advance(following)
            while following is not None and following.arrives <= self.now:
                self._waiting[following.task_id] = following
                self.manager.request(following.request())
                following = next(coming, None)
            for grant in self.manager.decide(self.now):
                self._start(self._waiting.pop(grant.task_id))

    def delay(self, job: Job) -> float:
        """Seconds from a job's arrival to its start."""
        return self.started[job.task_id] - job.arrives

    def _advance(self, following: Job | None) -> None:
        """To the next arrival or end, whichever comes first."""
        times = [self._running[0][0]] if self._running else []
        times += [following.arrives] if following else []
        self.now = max(self.now, min(times))
        while self._running and self._running[0][0] <= self.now:
            ended_at, _, job = heappop(self._running)
            self.ended[job.task_id] = ended_at
            self.manager.release(job.task_id, self.now)

    def _start(self, job: Job) -> None:
        self.started[job.task_id] = self.now
        heappush(self._running, (self.now + job.runs_s, next(self._numbers), job))


def merged(*streams: Iterator[Job]) -> Iterator[Job]:
    """Endless streams in the order of arrival."""
    heads = [(job.arrives, number, job) for number, stream in enumerate(streams) if (job := next(stream, None))]
    heads.sort()
    while heads:
        _, number, job = heappop(heads)
        yield job
        if following := next(streams[number], None):
            heappush(heads, (following.arrives, number, following))
