from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.protocol.messages import RetryPolicy
from app.protocol.task import Task
from app.protocol.times import parse_time
from app.resources.manager import ResourceManager
from app.resources.pool import AlreadyAllocated, NotAllocated
from app.resources.request import Grant, Request, request_of

NODE = {"cpu": 4000, "memory_mb": 1_000_000}


def request(task_id: str, cpu: int = 1000, **members: Any) -> Request:
    usual: dict[str, Any] = {"submitter": "alice", "priority": 1, "amounts": {"cpu": cpu}, "submitted_at": 0.0}
    return Request(task_id, **usual | members)


def granted(grants: list[Grant]) -> list[str]:
    return [grant.task_id for grant in grants]


def manager_with(*requests: Request, now: float = 0.0) -> ResourceManager:
    manager = ResourceManager(NODE)
    for each in requests:
        manager.request(each)
    manager.decide(now)
    return manager


def test_what_fits_is_granted_at_the_next_decision() -> None:
    manager = ResourceManager(NODE | {"gpu": 2000})
    manager.request(request("a", amounts={"cpu": 1000, "gpu": 1000}))
    assert manager.allocated == {}
    assert manager.waiting_count == 1
    assert manager.decide(5.0) == [Grant("a", {"cpu": 1000, "gpu": 1000}, (0,))]
    assert manager.allocated == {"cpu": 1000, "gpu": 1000}
    assert (manager.running_count, manager.waiting_count) == (1, 0)
    assert manager.decide(6.0) == []


def test_what_does_not_fit_is_granted_when_enough_is_released() -> None:
    manager = manager_with(request("a", 3000))
    manager.request(request("b", 2000))
    assert manager.decide(1.0) == []
    manager.release("a", 2.0)
    assert granted(manager.decide(2.0)) == ["b"]
    manager.release("b", 3.0)
    assert manager.allocated == {}


def test_asking_twice_is_a_defect_wherever_the_task_stands() -> None:
    manager = manager_with(request("running", 4000), request("waiting"), request("beyond", 5000))
    manager.request(request("new"))
    for task_id in ("running", "waiting", "beyond", "new"):
        with pytest.raises(AlreadyAllocated):
            manager.request(request(task_id))


def test_releasing_twice_or_without_a_grant_is_a_defect() -> None:
    manager = manager_with(request("a", 4000), request("b"))
    manager.release("a", 1.0)
    for task_id in ("a", "b", "unknown"):
        with pytest.raises(NotAllocated):
            manager.release(task_id, 1.0)
    assert granted(manager.decide(1.0)) == ["b"]


def test_a_request_can_be_withdrawn_until_it_is_granted() -> None:
    manager = manager_with(request("running", 4000), request("waiting"), request("beyond", 5000))
    manager.request(request("new"))
    assert [manager.withdraw(task) for task in ("waiting", "beyond", "new")] == [True, True, True]
    assert [manager.withdraw(task) for task in ("running", "waiting", "unknown")] == [False, False, False]
    manager.release("running", 1.0)
    assert manager.decide(1.0) == []
    assert (manager.allocated, manager.waiting_count) == ({}, 0)


def test_withdrawing_the_blocked_head_lets_the_others_go() -> None:
    manager = manager_with(request("running", 1000, kind="long"), request("big", 4000), request("small", 1000))
    assert manager.running_count == 1
    manager.withdraw("big")
    assert granted(manager.decide(0.0)) == ["small"]


def test_requests_of_one_moment_are_granted_in_order_not_as_they_came() -> None:
    manager = ResourceManager({"cpu": 1000})
    manager.request(request("later", priority=5))
    manager.request(request("sooner", priority=1))
    assert granted(manager.decide(0.0)) == ["sooner"]


def test_more_than_the_node_has_waits_in_nobodys_way() -> None:
    manager = manager_with(request("beyond", 5000, priority=0), request("other"))
    assert manager.running_count == 1
    assert manager.blocked_by_capacity({"cpu": 5000})
    assert not manager.blocked_by_capacity({"cpu": 4000})
    assert manager.capacity_shortfall({"cpu": 5000, "gpu": 1000}) == {"cpu": 1000, "gpu": 1000}
    assert manager.waiting("beyond", 0.0) == {
        "reason": "capacity",
        "missing": {"cpu": 1},
        "position": None,
        "held_by": [],
        "held_by_others": 0,
        "expected_start": None,
        "expected_start_range": None,
    }


def test_room_at_once_means_that_nobody_waits() -> None:
    manager = manager_with(request("a", 3000))
    assert manager.free_for({"cpu": 1000})
    assert not manager.free_for({"cpu": 2000})
    manager.request(request("b", 2000))
    manager.decide(0.0)
    assert not manager.free_for({"cpu": 1000})


def test_tasks_of_others_are_counted_and_not_named() -> None:
    manager = manager_with(
        request("mine", 2000, submitter="me"), request("theirs", 2000, submitter="you"), request("next", submitter="me")
    )
    waiting = manager.waiting("next", 0.0)
    assert waiting is not None
    assert (waiting["held_by"], waiting["held_by_others"]) == (["mine"], 1)


def test_a_waiting_task_is_told_what_is_missing_and_who_holds_it() -> None:
    manager = manager_with(
        request("first", 2500, kind="short"),
        request("second", 1500, kind="short"),
        request("ahead", 4000),
        request("me", 2000),
    )
    assert manager.waiting("me", 0.0) == {
        "reason": "insufficient",
        "missing": {"cpu": 2},
        "position": 2,
        "held_by": ["first", "second"],
        "held_by_others": 0,
        "expected_start": None,
        "expected_start_range": None,
    }
    assert manager.waiting("first", 0.0) is None
    assert manager.waiting("unknown", 0.0) is None


def test_a_task_for_which_there_is_room_but_not_its_turn_is_queued() -> None:
    manager = manager_with(request("running", 2000), request("big", 4000), request("me", 1000))
    waiting = manager.waiting("me", 0.0)
    assert waiting is not None
    assert (waiting["reason"], waiting["missing"], waiting["position"]) == ("queued", {}, 2)


def test_the_expected_start_comes_from_observed_run_times() -> None:
    manager = ResourceManager({"cpu": 1000})
    manager.request(request("earlier", kind="usual"))
    manager.decide(100.0)
    manager.release("earlier", 110.0)
    for task_id in ("running", "ahead", "me"):
        manager.request(request(task_id, kind="usual"))
    manager.decide(110.0)
    start = datetime.fromtimestamp(130.0, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    waiting = manager.waiting("me", 112.0)
    assert waiting is not None
    assert waiting["expected_start"] == start


def test_a_kind_never_seen_is_expected_to_run_like_the_others_and_no_deadline_is_said_to_be_missed() -> None:
    manager = ResourceManager({"cpu": 1000})
    manager.request(request("earlier", kind="usual"))
    manager.decide(100.0)
    manager.release("earlier", 110.0)
    for task_id, kind in (("running", "new"), ("me", "usual")):
        manager.request(request(task_id, kind=kind))
    manager.decide(110.0)
    waiting = manager.waiting("me", 112.0)
    assert waiting is not None
    assert parse_time(waiting["expected_start"]).timestamp() == 120.0
    assert manager.expected_end("me", 112.0) is None


def test_a_request_not_decided_on_yet_is_explained_as_well() -> None:
    manager = manager_with(request("running", 4000))
    manager.request(request("me"))
    waiting = manager.waiting("me", 0.0)
    assert waiting is not None
    assert waiting["position"] == 1
    manager.release("running", 1.0)
    assert granted(manager.decide(1.0)) == ["me"]


def test_the_snapshot_shows_capacity_use_and_queue() -> None:
    manager = manager_with(request("a", 1500), request("b", 3000), request("c", 3000), request("beyond", 9000))
    manager.request(request("d", 500))
    assert manager.snapshot() == {
        "capacity": {"cpu": 4, "memory_mb": 1000},
        "allocated": {"cpu": 1.5, "memory_mb": 0},
        "free": {"cpu": 2.5, "memory_mb": 1000},
        "running": 1,
        "waiting": 4,
        "waiting_for": [
            {"resources": {"cpu": 3}, "tasks": 2},
            {"resources": {"cpu": 0.5}, "tasks": 1},
            {"resources": {"cpu": 9}, "tasks": 1},
        ],
    }


def test_small_tasks_pass_the_blocked_head_only_where_they_end_in_time() -> None:
    manager = ResourceManager(NODE)
    for kind, seconds in (("long", 100.0), ("short", 10.0)):
        for number in range(40):
            manager.request(request(f"{kind}-{number}", 1000, kind=kind))
            manager.decide(0.0)
            manager.release(f"{kind}-{number}", seconds)
    manager.request(request("running", 1000, kind="long"))
    manager.decide(0.0)
    manager.request(request("whole", 4000, kind="long"))
    manager.request(request("too long", 1000, kind="long", submitter="bob"))
    manager.request(request("short enough", 1000, kind="short", submitter="carol"))
    assert granted(manager.decide(50.0)) == ["short enough"]
    manager.release("short enough", 60.0)
    manager.request(request("too late", 1000, kind="short", submitter="dora"))
    assert manager.decide(95.0) == []
    manager.release("running", 100.0)
    assert granted(manager.decide(100.0)) == ["whole"]


def test_what_the_head_does_not_need_is_given_to_others() -> None:
    manager = manager_with(request("running", 1000), request("big", 4000))
    manager.request(request("memory only", amounts={"memory_mb": 500_000}, submitter="bob"))
    assert granted(manager.decide(0.0)) == ["memory only"]


def test_a_run_that_did_not_end_by_itself_teaches_nothing() -> None:
    manager = ResourceManager({"cpu": 1000})
    manager.request(request("cancelled", kind="usual"))
    manager.decide(0.0)
    manager.release("cancelled", 1.0, ran_to_end=False)
    manager.request(request("running", kind="usual"))
    manager.request(request("me", kind="usual"))
    manager.decide(1.0)
    waiting = manager.waiting("me", 1.0)
    assert waiting is not None
    assert waiting["expected_start"] is None


def test_the_request_of_a_task() -> None:
    submitted = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    task = Task(
        task_id="task-1",
        message_id="message-1",
        idempotency_key="message-1",
        content_digest=b"",
        submitter="alice",
        type="echo",
        priority=7,
        submission="{}",
        deadline=submitted + timedelta(seconds=90),
        labels={},
        requested={"cpu": 500},
        timeout_s=60.0,
        retry=RetryPolicy(),
        submitted_at=submitted,
    )
    made = request_of(task)
    assert (made.task_id, made.submitter, made.priority, made.amounts) == ("task-1", "alice", 7, {"cpu": 500})
    assert made.submitted_at == submitted.timestamp()
    assert made.deadline == submitted.timestamp() + 90
    assert (made.kind, made.timeout_s) == ("echo", 60.0)
    task.deadline = None
    assert request_of(task).deadline is None


def test_what_came_before_its_kind_was_known_pays_what_its_kind_takes() -> None:
    manager = ResourceManager({"cpu": 1000})
    for number in range(20):
        manager.request(request(f"early-{number}", submitter="early", kind="short"))
    manager.decide(0.0)
    manager.release("early-0", 0.01)
    for number in range(20):
        manager.request(request(f"late-{number}", submitter="late", kind="short"))
    order = granted(manager.decide(0.01))
    while len(order) < 11:
        manager.release(order[-1], len(order) / 100 + 0.01)
        order += granted(manager.decide(len(order) / 100 + 0.01))
    assert sum(task_id.startswith("early") for task_id in order) in (5, 6), "in turns: neither pays for the first guess"
