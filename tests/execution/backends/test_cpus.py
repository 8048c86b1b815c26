"""How CPUs are handed out."""

from app.execution.backends.cpus import CpuSpread


def test_attempts_share_as_few_cpus_as_possible() -> None:
    spread = CpuSpread([3, 1, 2])
    assert spread.take(1) == [1]
    assert spread.take(1) == [2]
    assert spread.take(0.5) == [3]
    assert spread.take(0.25) == [3]
    assert spread.take(2) == [3, 1]


def test_a_grant_of_nothing_is_bound_to_no_cpu() -> None:
    spread = CpuSpread([0, 1])
    assert spread.take(0) is None
    spread.release(0, None)
    assert spread.take(1) == [0]


def test_a_grant_larger_than_the_machine_takes_all_of_it() -> None:
    assert CpuSpread([0, 1]).take(16) == [0, 1]


def test_what_is_given_back_is_free_again() -> None:
    spread = CpuSpread([0, 1, 2])
    for _ in range(1000):
        taken = [(cpu, spread.take(cpu)) for cpu in (0.1, 0.3, 1.7, 3)]
        for cpu, chosen in taken:
            spread.release(cpu, chosen)
    assert spread.take(1) == [0]
    assert spread.take(1) == [1]
    assert spread.take(1) == [2]
