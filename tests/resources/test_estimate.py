"""When a waiting task should start: the arithmetic, and how often the range holds the truth in simulated time."""

from collections.abc import Callable
from random import Random
from statistics import median
from typing import Any

import pytest

from app.protocol.times import parse_time
from app.resources.estimate import Batch, Estimate, estimate, remaining
from app.resources.manager import ResourceManager
from app.resources.pace import Paced
from app.resources.sample import Sample
from tests.resources.simulation import Job, Simulation

SEEDS = range(4)
WAITING = 300


def runs_of(*seconds: float) -> Sample:
    runs = Sample()
    for each in seconds:
        runs.add(each)
    return runs


def test_what_a_task_has_yet_to_run_is_told_by_those_that_ran_longer() -> None:
    left = remaining(runs_of(1.0, 2.0, 6.0, 6.0, 6.0), 4.0, 900.0)
    assert (left.middle_s, left.mean_s) == (2.0, 2.0)
    assert left.least_s <= 2.0 <= left.most_s


def test_a_task_that_has_outrun_all_others_runs_as_long_again_and_never_beyond_its_time_out() -> None:
    assert remaining(runs_of(1.0, 2.0), 5.0, 900.0)[:3] == (0.0, 5.0, 15.0)
    assert remaining(runs_of(1.0, 2.0), 5.0, 7.0)[:3] == (0.0, 2.0, 2.0)
    assert remaining(runs_of(10.0), 1.0, 4.0).most_s == 3.0


def test_with_nothing_ahead_the_start_is_when_it_fits() -> None:
    fit = Estimate(1.0, 2.0, 3.0)
    assert estimate(0.0, fit, [], [], 1.0) is fit


def test_whole_node_tasks_start_one_after_another() -> None:
    running = [(1.0, remaining(runs_of(*[10.0] * 60), 4.0, 900.0))]
    ahead = [Batch(3, 1.0, runs_of(*[10.0] * 60))]
    found = estimate(100.0, Estimate(106.0, 106.0, 106.0), running, ahead, 1.0)
    assert found.expected == pytest.approx(136.0)
    assert 106.0 <= found.earliest < 136.0 < found.latest


def test_of_tasks_that_take_three_cores_of_four_one_runs_at_a_time() -> None:
    ahead = [Batch(4, 0.75, runs_of(*[10.0] * 60))]
    found = estimate(0.0, Estimate(0.0, 0.0, 0.0), [], ahead, 0.75)
    assert 35.0 <= found.expected <= 40.0


def test_the_range_is_wider_where_less_is_known() -> None:
    def width(runs: Sample) -> float:
        found = estimate(0.0, Estimate(0.0, 0.0, 0.0), [], [Batch(100, 0.25, runs)], 0.25)
        return found.latest - found.earliest

    known, barely = runs_of(*[2.0] * 60), runs_of(2.0)
    assert width(barely) > 5 * width(known)


def test_what_was_seen_left_idle_takes_the_place_of_the_guess() -> None:
    def expected(idle: Sample | None) -> float:
        ahead = [Batch(9, 1.0, runs_of(*[2.0] * 60), idle), Batch(9, 0.25, runs_of(*[2.0] * 60))]
        return estimate(0.0, Estimate(0.0, 0.0, 0.0), [], ahead, 1.0).expected

    work_s = 9 * (1 + 0.25) * 2.0
    assert work_s < expected(None) < expected(runs_of(*[1.0] * 60))
    assert expected(runs_of(*[1.0] * 60)) == pytest.approx(work_s + 9 * 1.0, rel=0.1)


def test_a_small_request_may_start_sooner_than_its_turn_comes_where_larger_ones_are_ahead() -> None:
    def sooner(share: float) -> float:
        found = estimate(0.0, Estimate(0.0, 0.0, 0.0), [], [Batch(20, 0.5, runs_of(2.0), runs_of(0.2))], share)
        return found.expected - found.earliest

    assert sooner(0.25) == pytest.approx(sooner(0.5) + 20 * 0.2, rel=0.3)


def test_large_ones_that_do_not_fit_beside_each_other_start_one_after_another_whatever_was_left_idle() -> None:
    ahead = [Batch(10, 0.75, runs_of(*[10.0] * 60), runs_of(*[-2.5] * 60))]
    found = estimate(0.0, Estimate(4.0, 5.0, 6.0), [], ahead, 0.75)
    assert found.expected == pytest.approx(5.0 + 10 * 10.0)


def paced_ahead() -> list[Batch]:
    return [Batch(20, 0.75, runs_of(*[10.0] * 60)), Batch(20, 0.25, runs_of(*[2.0] * 60))]


def paced_estimate(*intervals: float) -> Estimate:
    paced = Paced(runs_of(*intervals * (60 // len(intervals))), 0.0)
    return estimate(0.0, Estimate(0.0, 0.0, 0.0), [], paced_ahead(), 0.25, paced)


def test_the_pace_of_its_size_is_believed_where_it_contradicts_the_order_and_the_range_is_that_of_both() -> None:
    by_order = estimate(0.0, Estimate(0.0, 0.0, 0.0), [], paced_ahead(), 0.25)
    contradicted = paced_estimate(2.0)
    assert contradicted.expected == pytest.approx(21 * 2.0)
    assert contradicted.earliest < 21 * 2.0
    assert contradicted.latest == by_order.latest


def test_between_a_pace_that_varies_widely_and_the_order_the_start_is_expected_halfway() -> None:
    by_order = estimate(0.0, Estimate(0.0, 0.0, 0.0), [], paced_ahead(), 0.25)
    unsure = paced_estimate(*[0.0] * 20, *[12.0] * 10)
    assert unsure.expected == pytest.approx((by_order.expected + 21 * 4.0) / 2)
    assert unsure.earliest < 21 * 4.0
    assert unsure.latest >= by_order.latest


def test_a_pace_that_agrees_with_the_order_leaves_the_range_as_it_is() -> None:
    by_order = estimate(0.0, Estimate(0.0, 0.0, 0.0), [], paced_ahead(), 0.25)
    interval_s = (by_order.expected + 10.0) / 21
    agreed = paced_estimate(interval_s)
    assert (agreed.earliest, agreed.latest) == (by_order.earliest, by_order.latest)
    assert agreed.expected == pytest.approx(by_order.expected + 5.0)


def _one_kind(random: Random, _: int) -> dict[str, Any]:
    return {"runs_s": random.uniform(1, 3)}


def _two_kinds(random: Random, number: int) -> dict[str, Any]:
    slow = number % 2 == 0
    return {"runs_s": random.uniform(1, 3) * (10 if slow else 1), "kind": "slow" if slow else "fast"}


def _mixed_size(random: Random, _: int) -> dict[str, Any]:
    return {"runs_s": random.uniform(1, 3), "cpu": random.choice([500, 1000, 2000, 4000])}


def _unlike_units(random: Random, _: int) -> dict[str, Any]:
    return {"runs_s": random.uniform(1, 3), **random.choice([{"cpu": 900}, {"cpu": 100, "licences": 1}])}


def _priorities(random: Random, number: int) -> dict[str, Any]:
    return {"runs_s": random.uniform(1, 3), "priority": number % 4}


def _wild(random: Random, _: int) -> dict[str, Any]:
    return {"runs_s": random.expovariate(0.5)}


def _long_beside_small(random: Random, number: int) -> dict[str, Any]:
    if number % 2:
        return {"runs_s": random.uniform(1, 3), "kind": "fast"}
    return {"runs_s": random.uniform(8, 24), "cpu": random.choice([500, 3000]), "kind": "slow"}


def _long_one_at_a_time(random: Random, number: int) -> dict[str, Any]:
    if number % 4:
        return {"runs_s": random.uniform(1, 3), "kind": "fast"}
    return {"runs_s": random.uniform(8, 24), "cpu": 3000, "kind": "slow"}


def foretold(simulation: Simulation, jobs: list[Job]) -> list[tuple[str, float, Estimate]]:
    """What is said now of each job that waits."""
    found = []
    for job in jobs:
        waiting = simulation.manager.waiting(job.task_id, simulation.now)
        if waiting is not None:
            earliest, latest = waiting["expected_start_range"]
            times = [parse_time(each).timestamp() for each in (earliest, waiting["expected_start"], latest)]
            found.append((job.task_id, simulation.now, Estimate(*times)))
    return found


def measured(make: Callable[[Random, int], dict[str, Any]], seed: int) -> list[tuple[float, bool]]:
    """Asked six times while they wait: the error in parts of the wait, and whether the truth was in the range."""
    random = Random(seed)
    simulation = Simulation(ResourceManager({"cpu": 4000, "custom.licence": 4000}))
    simulation.run([Job(f"before-{n}", 0.0, **make(random, n)) for n in range(100)])
    start = simulation.now + 1
    jobs = [Job(f"job-{n}", start, submitter=f"submitter-{n % 3}", **make(random, n)) for n in range(WAITING)]
    simulation.run(jobs, until=start)
    some = jobs[::5] + jobs[1::5] + jobs[2::15]
    said = foretold(simulation, some)
    for asked in range(1, 6):
        simulation.run([], until=start + asked * sum(job.runs_s * job.cpu for job in jobs) / 4000 / 7)
        said += foretold(simulation, some)
    simulation.run([])
    truth = simulation.started
    return [
        ((told.expected - truth[name]) / (truth[name] - at), told.earliest <= truth[name] <= told.latest)
        for name, at, told in said
    ]


@pytest.mark.parametrize(
    ("make", "bias", "error", "inside"),
    [
        (_one_kind, 0.05, 0.10, 0.75),
        (_two_kinds, 0.05, 0.10, 0.80),
        (_mixed_size, 0.10, 0.10, 0.75),
        (_unlike_units, 0.25, 0.35, 0.70),
        (_priorities, 0.05, 0.10, 0.70),
        (_wild, 0.15, 0.25, 0.75),
        (_long_beside_small, 0.15, 0.30, 0.75),
        (_long_one_at_a_time, 0.15, 0.30, 0.75),
    ],
)
def test_the_range_holds_the_truth_and_the_expectation_is_not_biased(
    make: Callable[[Random, int], dict[str, Any]], bias: float, error: float, inside: float
) -> None:
    found = [each for seed in SEEDS for each in measured(make, seed)]
    errors = [each for each, _ in found]
    assert len(found) > 2 * WAITING
    assert abs(median(errors)) <= bias
    assert median(map(abs, errors)) <= error
    assert sum(held for _, held in found) / len(found) >= inside
