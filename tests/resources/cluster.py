"""Nodes in simulated time on one database: what waits, the claims, and the real manager of each node.

As the service does it, over the pure twin of its statements: a job that comes where nothing waits in the database is
handed over, any other is stored; each node claims by the real rules, at most once in `claim_s`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from app.execution.claimer import BARREN_LOOKS, CLAIM_LIMIT, LEAST_WINDOW, PENDING_LIMIT, WINDOW
from app.resources.census import line_of_request
from app.resources.claims import Claims, Terms
from app.resources.manager import ResourceManager
from tests.resources.backlog import Backlog
from tests.resources.simulation import Job


@dataclass
class Node:
    """One node: its manager, and what it knows of the lines."""

    manager: ResourceManager
    claims: Claims = field(default_factory=Claims)
    may_claim_at: float = 0.0


class Cluster:
    """Runs jobs, which have to come in the order of their arrival, and notes when each started and ended.

    A job comes to the nodes in turn. Times in seconds.
    """

    def __init__(
        self, *managers: ResourceManager, weights: dict[str, float] | None = None, claim_s: float = 0.01
    ) -> None:
        self.nodes = [Node(manager) for manager in managers]
        self.backlog = Backlog()
        self.now = 0.0
        self.started: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.started_at: list[tuple[float, Job]] = []
        self._weights = weights or {}
        self._claim_s = claim_s
        self._jobs: dict[str, Job] = {}
        self._running: list[tuple[float, int, Job, Node]] = []
        self._numbers = count()

    def run(self, jobs: Iterable[Job], until_started: str | None = None, until: float = 1e9) -> None:
        """Until all is done, until one job has started, or until a time."""
        coming = iter(jobs)
        following = next(coming, None)
        while self.now < until and until_started not in self.started:
            times = [job.arrives for job in (following,) if job] + [at for at, *_ in self._running[:1]]
            times += [node.may_claim_at for node in self.nodes if node.may_claim_at > self.now]
            if not times:
                break
            self.now = max(self.now, min(times))
            self._end_what_is_over()
            while following is not None and following.arrives <= self.now:
                self._arrive(following)
                following = next(coming, None)
            for node in self.nodes:
                self._grant(node)
                self._claim(node)

    def delay(self, job: Job) -> float:
        """Seconds from a job's arrival to its start."""
        return self.started[job.task_id] - job.arrives

    def _arrive(self, job: Job) -> None:
        self._jobs[job.task_id] = job
        node = self.nodes[next(self._numbers) % len(self.nodes)]
        if node.claims.ring.empty and node.manager.waiting_count < self._window(node):
            node.manager.request(job.request())
            return
        line = line_of_request(job.request())
        self.backlog.put(line, f"{job.arrives:020.6f}-{job.task_id}", job.deadline)
        node.claims.ring.learn(line)
        for other in self.nodes:
            if other is not node:
                other.claims.ring.look_again()

    def _claim(self, node: Node) -> None:
        """One round of claims, as Claimer does it; the time that it takes passes before the next one."""
        if node.may_claim_at > self.now:
            return
        ring, barren = node.claims.ring, 0
        while barren < BARREN_LOOKS and node.manager.waiting_count < PENDING_LIMIT:
            looked = not ring.whole
            if looked:
                walks = ring.walks()
                ring.saw(walks, self.backlog.look(*walks))
            window = self._window(node)
            terms = Terms(window, weight=lambda name: self._weights.get(name, 1.0))
            wants = node.claims.wants(min(CLAIM_LIMIT, window), node.manager.census, terms)
            taken = self.backlog.claim(wants)
            node.claims.got(wants, (line for line, _ in taken))
            for _, task_id in taken:
                node.manager.request(self._jobs[task_id.split("-", 1)[1]].request())
            if taken:
                node.may_claim_at = self.now + self._claim_s
                self._grant(node)
                return
            barren += looked
            if not looked or ring.whole:
                return

    def _window(self, node: Node) -> int:
        if len(self.nodes) == 1:
            return WINDOW
        return min(WINDOW, max(LEAST_WINDOW, node.manager.running_count // 4))

    def _grant(self, node: Node) -> None:
        for grant in node.manager.decide(self.now):
            job = self._jobs[grant.task_id]
            self.started[job.task_id] = self.now
            self.started_at.append((self.now, job))
            heappush(self._running, (self.now + job.runs_s, next(self._numbers), job, node))

    def _end_what_is_over(self) -> None:
        while self._running and self._running[0][0] <= self.now:
            ended_at, _, job, node = heappop(self._running)
            self.ended[job.task_id] = ended_at
            node.manager.release(job.task_id, self.now)
