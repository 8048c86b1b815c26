"""Whole queues in simulated time: floods delay nobody else, nobody starves, deadlines that can be met are met."""

from collections.abc import Iterator
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.protocol.times import parse_time
from app.resources.manager import ResourceManager
from tests.resources.simulation import Job, Simulation, merged

CORES = 4
SEEDS = (1, 2, 3)


def node(**options: float) -> ResourceManager:
    return ResourceManager({"cpu": CORES * 1000}, aging_s=options.get("aging_s", 60.0))


def stream(
    name: str, every_s: float, runs_s: float, priority: int = 1, start: float = 0.0, *, own_submitters: bool = False
) -> Iterator[Job]:
    """An endless stream of small tasks."""
    for number in count():
        submitter = f"{name}-{number}" if own_submitters else name
        yield Job(f"{name}-{number}", start + number * every_s, runs_s, submitter, priority, kind=name)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flood_of_100_000_delays_anothers_task_by_about_one_task(seed: int) -> None:
    random = Random(seed)
    flood = [Job(f"flood-{number}", 0.0, random.uniform(0.5, 1.5), "flooder") for number in range(100_000)]
    single = Job("single", 50.25, 1.0, "alice")
    simulation = Simulation(node())
    simulation.run([*flood, single], until_started="single")
    assert simulation.delay(single) <= 1.5
    assert simulation.manager.waiting_count > 99_000


def test_a_flood_of_kinds_never_seen_before_gains_nothing() -> None:
    flood = [Job(f"flood-{number}", 0.0, 1.0, "flooder", kind=f"kind-{number}") for number in range(5_000)]
    singles = [Job(f"single-{number}", 10.0 + 20 * number, 1.0, "alice") for number in range(10)]
    simulation = Simulation(node())
    simulation.run([*flood, *singles])
    assert max(simulation.delay(job) for job in singles) <= 2.0


@pytest.mark.parametrize("seed", SEEDS)
def test_among_fifty_who_flood_a_single_task_waits_for_about_one_round(seed: int) -> None:
    random = Random(seed)
    flood = [
        Job(f"flood-{number}", 0.0, random.uniform(0.5, 1.5), f"flooder-{number % 50}") for number in range(10_000)
    ]
    single = Job("single", 30.0, 1.0, "alice")
    simulation = Simulation(node())
    simulation.run([*flood, single], until_started="single")
    assert simulation.delay(single) <= 2 * 50 / CORES


def test_submitters_of_long_and_of_short_tasks_get_equal_time() -> None:
    long = [Job(f"long-{number}", 0.0, 10.0, "long", kind="long") for number in range(1_000)]
    short = [Job(f"short-{number}", 0.0, 1.0, "short", kind="short") for number in range(10_000)]
    simulation = Simulation(node())
    simulation.run([*long, *short], until=1_000.0)
    long_s = 10.0 * sum(job.task_id in simulation.ended for job in long)
    short_s = 1.0 * sum(job.task_id in simulation.ended for job in short)
    assert long_s == pytest.approx(short_s, rel=0.15)
    assert long_s + short_s > 0.95 * CORES * 1_000


def test_a_weight_of_three_gets_three_times_the_resources() -> None:
    jobs = [Job(f"{name}-{number}", 0.0, 1.0, name) for name in ("heavy", "light") for number in range(3_000)]
    simulation = Simulation(ResourceManager({"cpu": CORES * 1000}, {"heavy": 3.0}))
    simulation.run(jobs, until=500.0)
    heavy = sum(job.task_id in simulation.ended for job in jobs[:3_000])
    light = sum(job.task_id in simulation.ended for job in jobs[3_000:])
    assert heavy / light == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(
    ("own_submitters", "priority", "bound_s"),
    [
        (False, 1, 30.0),  # of the same priority, from one submitter
        (True, 1, 30.0),  # of the same priority, each from another submitter
        (False, 0, 100.0),  # more urgent: after aging
        (True, 0, 100.0),
    ],
)
def test_a_whole_node_starts_in_bounded_time_under_an_endless_stream(
    own_submitters: bool, priority: int, bound_s: float
) -> None:
    small = stream("small", 0.2, 1.0, priority, own_submitters=own_submitters)  # five cores' worth for four cores
    whole = Job("whole", 20.0, 5.0, "alice", cpu=CORES * 1000, kind="whole")
    simulation = Simulation(node(aging_s=30.0))
    simulation.run(merged(small, iter([whole])), until_started="whole", until=20_000.0)
    assert simulation.delay(whole) <= bound_s


def test_a_whole_node_starts_although_run_times_cannot_be_foretold() -> None:
    def wild() -> Iterator[Job]:
        random = Random(7)
        for number in count():
            runs_s = random.choice((0.1, 0.1, 0.1, 40.0))
            yield Job(f"wild-{number}", number * 0.1, runs_s, f"wild-{number % 7}", kind="wild", timeout_s=60.0)

    whole = Job("whole", 20.0, 5.0, "alice", cpu=CORES * 1000, kind="whole")
    simulation = Simulation(node())
    simulation.run(merged(wild(), iter([whole])), until_started="whole", until=20_000.0)
    assert simulation.delay(whole) <= 5 * 60.0


def test_a_low_priority_is_reached_and_an_urgent_task_is_not_held_up_by_it() -> None:
    urgent = stream("urgent", 0.25, 1.0, priority=0)
    bulk = [Job(f"bulk-{number}", 0.0, 1.0, "bulk", priority=9) for number in range(500)]
    simulation = Simulation(node(aging_s=30.0))
    simulation.run(merged(iter(bulk), urgent), until=600.0)
    delays = [simulation.started[f"urgent-{number}"] - number * 0.25 for number in range(120)]
    assert max(delays) <= 2.0
    served = sum(job.task_id in simulation.ended for job in bulk)
    assert served == pytest.approx(0.1 * CORES * (600 - 30), rel=0.2)


@pytest.mark.parametrize("seed", SEEDS)
def test_priorities_are_strict_while_nobody_has_waited_long(seed: int) -> None:
    random = Random(seed)
    jobs = [Job(f"job-{n}", 0.0, 0.1, f"submitter-{n % 7}", random.randint(-5, 5)) for n in range(1_000)]
    simulation = Simulation(node())
    simulation.run(jobs)
    priority = {job.task_id: job.priority for job in jobs}
    order = [priority[task_id] for task_id in simulation.started]
    assert order == sorted(order)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 20)), min_size=1, max_size=30), st.randoms())
def test_deadlines_that_can_be_met_are_met(lengths: list[tuple[int, int]], random: Random) -> None:
    """Jobs made one after another with room between them can be done in time; shuffled, they still are."""
    jobs, done_at = [], 0.0
    for number, (runs_s, room_s) in enumerate(lengths):
        done_at += runs_s
        jobs.append(Job(f"job-{number}", 0.0, float(runs_s), deadline=done_at + room_s))
    random.shuffle(jobs)
    simulation = Simulation(ResourceManager({"cpu": 1000}))
    simulation.run(jobs)
    # by exchange, sorting by deadline keeps any schedule feasible (Jackson 1955); the first schedule shows that one is
    assert all(simulation.ended[job.task_id] <= (job.deadline or 0.0) for job in jobs)


def test_room_beside_a_blocked_head_does_not_lie_idle() -> None:
    """One core is held for long, a whole-node task waits for it: the other cores go on with what ends before."""
    holder = Job("holder", 0.0, 1_000.0, "holder", kind="holder", timeout_s=1_000.0)
    whole = Job("whole", 10.0, 10.0, "alice", cpu=CORES * 1000, kind="whole")
    simulation = Simulation(node())
    seen = Job("seen", 0.0, 1_000.0, "holder", kind="holder")
    simulation.run([seen])
    holder.arrives, whole.arrives = 1_000.0, 1_010.0
    small = stream("small", 0.5, 1.0, start=1_000.0)
    simulation.run(merged(iter([holder, whole]), small), until_started="whole", until=10_000.0)
    assert simulation.started["whole"] <= 2_000.0 + 1.0
    ended_beside = sum(1_010 <= ended <= 1_990 for ended in simulation.ended.values())
    assert ended_beside > 0.95 * 980 / 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_the_expected_start_comes_about_true(seed: int) -> None:
    random = Random(seed)
    manager = node()
    simulation = Simulation(manager)
    simulation.run([Job(f"before-{number}", 0.0, random.uniform(1, 3), kind="usual") for number in range(100)])
    start = simulation.now + 1
    jobs = [Job(f"job-{n}", start, random.uniform(1, 3), f"submitter-{n % 3}", kind="usual") for n in range(300)]
    simulation.run(jobs, until=start)
    foretold = {
        job.task_id: parse_time(waiting["expected_start"]).timestamp()
        for job in jobs
        if (waiting := manager.waiting(job.task_id, simulation.now))
    }
    simulation.run([])
    assert len(foretold) == 300 - CORES
    for task_id, foreseen in foretold.items():
        assert abs(foreseen - simulation.started[task_id]) <= 3.0 + 0.2 * (simulation.started[task_id] - start)
