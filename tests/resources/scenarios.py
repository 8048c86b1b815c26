"""Whole days of a service in simulated time, from database to start: what each shows, in one number, for each seed.

The same situations stand in the tests, with their bounds, and in the report (`python -m tests.resources.report`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random

from app.resources.manager import ResourceManager
from tests.resources.cluster import Cluster
from tests.resources.simulation import Job, merged

CORES = 4
FLOOD = 100_000
SEEDS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Situation:
    """`measure` answers a number for a seed, which must not be beyond `bound` in any world."""

    name: str
    submitters: int
    waiting: int
    unit: str
    bound: float
    measure: Callable[[Random], float]


def node(cores: int = CORES, weights: dict[str, float] | None = None, licences: int = 0) -> ResourceManager:
    return ResourceManager({"cpu": cores * 1000, "custom.licence": licences * 1000}, weights, aging_s=30.0)


def flood(random: Random, size: int = FLOOD, name: str = "flooder", **members: object) -> list[Job]:
    """All at once, of about a second each."""
    return [
        Job(f"{name}:{number}", 0.0, random.uniform(0.5, 1.5), name, **members)  # type: ignore[arg-type]
        for number in range(size)
    ]


def singles(random: Random, number: int, every_s: float = 10.0, name: str = "alice") -> list[Job]:
    """One task now and then, of about a second each."""
    arrivals = [5.0 + every_s * n + random.uniform(0, every_s / 2) for n in range(number)]
    return [Job(f"{name}:{n}", at, random.uniform(0.5, 1.5), name) for n, at in enumerate(arrivals)]


def worst_delay(cluster: Cluster, jobs: list[Job]) -> float:
    return max(cluster.delay(job) for job in jobs)


def behind_one_flood(random: Random) -> float:
    """One submitter has stored 100,000 tasks; another's single tasks come one after another."""
    others, cluster = singles(random, 20), Cluster(node())
    cluster.run([*flood(random), *others], until_started=others[-1].task_id)
    assert len(cluster.backlog) > 0.9 * FLOOD
    return worst_delay(cluster, others)


def behind_a_flood_that_is_blocked(random: Random) -> float:
    """The flood asks for a licence that is out, of the same priority; its owner's other tasks wait behind it."""
    holder = Job("holder:0", 0.0, 1e6, "holder", licences=1)
    blocked = [Job(f"blocked:{n}", 0.001, 1.0, "alice", licences=1) for n in range(FLOOD)]
    others, cluster = singles(random, 20), Cluster(node(licences=1))
    cluster.run([holder, *blocked, *others], until_started=others[-1].task_id)
    return worst_delay(cluster, others)


def behind_fifty_floods(random: Random) -> float:
    """Fifty submitters have stored 2,000 tasks each."""
    jobs = [job for n in range(50) for job in flood(random, 2_000, f"flooder-{n}")]
    others, cluster = singles(random, 10, every_s=60.0), Cluster(node())
    cluster.run([*jobs, *others], until_started=others[-1].task_id)
    return worst_delay(cluster, others)


def behind_a_flood_on_three_nodes(random: Random) -> float:
    """The same as behind one flood, where three nodes claim."""
    others, cluster = singles(random, 20), Cluster(*(node() for _ in range(3)))
    cluster.run([*flood(random), *others], until_started=others[-1].task_id)
    return worst_delay(cluster, others)


def behind_a_flood_of_sorts(random: Random) -> float:
    """A flood of which each task asks for something else."""
    jobs = [Job(f"flooder:{n}", 0.0, random.uniform(0.5, 1.5), "flooder", cpu=1 + n % 1000) for n in range(10_000)]
    others, cluster = singles(random, 10), Cluster(node(cores=1))
    cluster.run([*jobs, *others], until_started=others[-1].task_id)
    return worst_delay(cluster, others)


def whole_node_under_a_stream(random: Random) -> float:
    """A task that needs the whole node, with 20,000 small ones stored and a stream that overloads the node."""
    stream = (Job(f"small:{n}", n * 0.2, random.uniform(0.5, 1.5), f"small-{n % 7}") for n in count())
    whole = Job("whole:0", 20.0, 5.0, "alice", cpu=CORES * 1000, kind="whole")
    cluster = Cluster(node())
    cluster.run(merged(iter([*flood(random, 20_000), whole]), stream), until_started=whole.task_id, until=10_000.0)
    return cluster.delay(whole)


def low_priority_under_a_stream(random: Random) -> float:
    """A submitter's first task of priority 9, with 20,000 urgent ones of another stored and more coming."""
    stream = (Job(f"urgent:{n}", n * 0.2, random.uniform(0.5, 1.5), "urgent", 0) for n in count())
    first = Job("bulk:0", 1.0, 1.0, "bulk", 9)
    cluster = Cluster(node())
    stored = flood(random, 20_000, "stored", priority=0)
    cluster.run(merged(iter([*stored, first]), stream), until_started=first.task_id, until=10_000.0)
    return cluster.delay(first)


def aged_share(random: Random) -> float:
    """How far the share of a low priority, once it is hungry, is from a tenth."""
    jobs = [*flood(random, 10_000, "urgent", priority=0), *flood(random, 10_000, "bulk", priority=9)]
    cluster = Cluster(node())
    cluster.run(jobs, until=1_000.0)
    counts = Counter(job.submitter for at, job in cluster.started_at if at > 40)
    return abs(counts["bulk"] / counts.total() - 0.1) / 0.1


def shares_by_weight(random: Random) -> float:
    """The largest deviation from the shares that weights of 1, 2 and 4 give, in parts of the share."""
    weights = {"one": 1.0, "two": 2.0, "four": 4.0}
    jobs = [job for name in weights for job in flood(random, 20_000, name)]
    cluster = Cluster(node(weights=weights), weights=weights)
    cluster.run(jobs, until=2_000.0)
    return _deviation(cluster, weights)


def shares_of_many(random: Random) -> float:
    """Three hundred submitters of 100 tasks each: how far the one furthest from his share is from it."""
    jobs = [job for n in range(300) for job in flood(random, 100, f"submitter-{n}")]
    cluster = Cluster(node(cores=12))
    cluster.run(jobs, until=500.0)
    return _deviation(cluster, {f"submitter-{n}": 1.0 for n in range(300)})


def shares_of_long_and_short(random: Random) -> float:
    """One submitter's tasks take ten times as long as the other's: equal time, not equal numbers."""
    long = [Job(f"long:{n}", 0.0, random.uniform(5, 15), "long", kind="long") for n in range(2_000)]
    cluster = Cluster(node())
    cluster.run([*long, *flood(random, 20_000, "short", kind="short")], until=2_000.0)
    return _deviation(cluster, {"long": 1.0, "short": 1.0})


def missed_deadlines(random: Random) -> float:
    """Of 2,000 stored tasks with deadlines that earliest-deadline-first meets: how many miss theirs."""
    jobs = []
    for n in range(2_000):
        runs_s = random.uniform(0.5, 1.5)
        jobs.append(Job(f"job:{n}", 0.0, runs_s, kind=f"kind-{n % 3}", deadline=random.uniform(10, 2_100)))
    feasible = {job.task_id for job in jobs if job.task_id in _met_by_edf(jobs)}
    kept = [job for job in jobs if job.task_id in feasible]
    assert _met_by_edf(kept) == feasible
    cluster = Cluster(node(cores=1))
    cluster.run(kept)
    return sum(cluster.ended[job.task_id] > (job.deadline or 0) for job in kept)


def _met_by_edf(jobs: list[Job]) -> set[str]:
    """Which tasks end in time on one core, the earliest deadline first; one that comes too late is left out."""
    accepted: list[tuple[float, float, str]] = []
    taken_s = 0.0
    for job in sorted(jobs, key=lambda each: each.deadline or 0.0):
        taken_s += job.runs_s
        heappush(accepted, (-job.runs_s, job.runs_s, job.task_id))
        if taken_s > (job.deadline or 0.0):
            # The longest so far goes (Moore 1968): the most tasks then end in time.
            taken_s -= heappop(accepted)[1]
    return {task_id for _, _, task_id in accepted}


def _deviation(cluster: Cluster, weights: dict[str, float]) -> float:
    served = dict.fromkeys(weights, 0.0)
    for _, job in cluster.started_at:
        served[job.submitter] += job.runs_s
    total, whole = sum(served.values()), sum(weights.values())
    return max(abs(served[name] / total * whole / weight - 1) for name, weight in weights.items())


SITUATIONS = (
    Situation("another's task, one has stored 100,000", 2, FLOOD, "s", 1.5, behind_one_flood),
    Situation("the same, on three nodes", 2, FLOOD, "s", 3.0, behind_a_flood_on_three_nodes),
    Situation("one's own task, 100,000 wait for a licence", 1, FLOOD, "s", 1.5, behind_a_flood_that_is_blocked),
    Situation("another's task, 10,000 of 1,000 sorts", 2, 10_000, "s", 3.0, behind_a_flood_of_sorts),
    Situation("another's task, fifty have stored 2,000 each", 51, FLOOD, "s", 2 * 50 / CORES, behind_fifty_floods),
    Situation("a task that needs the whole node", 9, 20_000, "s", 60.0, whole_node_under_a_stream),
    Situation("a task of priority 9 under urgent ones", 3, 20_000, "s", 60.0, low_priority_under_a_stream),
    Situation("share of priority 9, from a tenth", 2, 20_000, "", 0.2, aged_share),
    Situation("shares of weights 1, 2, 4", 3, 60_000, "", 0.05, shares_by_weight),
    Situation("shares of tasks of 10 s and of 1 s", 2, 22_000, "", 0.15, shares_of_long_and_short),
    Situation("shares of three hundred, 20 tasks run of each", 300, 30_000, "", 0.25, shares_of_many),
    Situation("deadlines missed that could be met", 1, 2_000, "", 0.0, missed_deadlines),
)
