"""What waits on a node, counted."""

from app.resources.census import Census, line_of_request
from app.resources.manager import ResourceManager
from app.resources.request import Request
from app.storage.lines import Line

ALICE = Line(1, "alice", "job", '{"cpu":1000}')


def request(number: int, cpu: int = 1000) -> Request:
    return Request(f"task-{number}", "alice", 1, {"cpu": cpu}, float(number), kind="job")


def counts(census: Census) -> tuple[int, int, int]:
    return census.lines[ALICE], census.submitters[1, "alice"], census.asked[1, "job", '{"cpu":1000}']


def test_counts_go_up_and_down_and_leave_nothing_behind() -> None:
    census = Census()
    census.add(ALICE, 3)
    census.add(ALICE._replace(submitter="bob"))
    assert counts(census) == (3, 3, 4)
    copy = census.copy()
    census.add(ALICE, -3)
    assert counts(census) == (0, 0, 1)
    assert ALICE not in census.lines
    assert counts(copy) == (3, 3, 4)


def test_the_manager_counts_what_waits_and_nothing_else() -> None:
    manager = ResourceManager({"cpu": 1000})
    assert line_of_request(request(1)) == ALICE
    for number in (1, 2, 3):
        manager.request(request(number))
    manager.request(request(4, cpu=2000))
    manager.decide(0.0)
    assert counts(manager.census) == (2, 3, 2), "one runs; one that will never fit waits too"
    manager.withdraw("task-3")
    manager.withdraw("task-4")
    manager.release("task-1", 1.0)
    manager.decide(1.0)
    assert counts(manager.census) == (0, 0, 0)
    assert not manager.census.lines
