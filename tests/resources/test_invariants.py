"""The manager under random use: never over capacity, all or nothing, released exactly once, nothing held at rest."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.protocol.resources import Amounts
from app.resources.manager import ResourceManager
from app.resources.pool import AlreadyAllocated, NotAllocated
from app.resources.request import Grant, Request

CAPACITY: Amounts = {"cpu": 4000, "memory_mb": 8000, "gpu": 2000, "custom.licence": 1000}

vectors = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.integers(1, 4500),
        "memory_mb": st.integers(1, 9000),
        "gpu": st.sampled_from([1000, 2000]),
        "custom.licence": st.just(1000),
    },
)


class ManagerMachine(RuleBasedStateMachine):
    """Keeps its own books beside the manager's."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = ResourceManager(CAPACITY, {"alice": 2.0}, aging_s=5.0, aged_share=3)
        self.now = 1000.0
        self.number = 0
        self.waiting: dict[str, Request] = {}
        self.running: dict[str, Grant] = {}

    @rule(
        amounts=vectors,
        submitter=st.sampled_from(["alice", "bob", "carol"]),
        priority=st.integers(0, 2),
        kind=st.sampled_from(["quick", "slow"]),
        due_in=st.none() | st.integers(0, 9),
    )
    def ask(self, amounts: Amounts, submitter: str, priority: int, kind: str, due_in: float | None) -> None:
        self.number += 1
        deadline = None if due_in is None else self.now + due_in
        request = Request(f"task-{self.number}", submitter, priority, amounts, self.now, deadline, kind, 30.0)
        self.manager.request(request)
        self.waiting[request.task_id] = request

    @rule(seconds=st.floats(0, 10))
    def decide(self, seconds: float) -> None:
        self.now += seconds
        for grant in self.manager.decide(self.now):
            request = self.waiting.pop(grant.task_id)
            assert grant.amounts == request.amounts
            assert len(grant.gpu_devices) * 1000 == request.amounts.get("gpu", 0)
            self.running[grant.task_id] = grant

    @precondition(lambda self: self.running)
    @rule(position=st.integers(0, 1000), ran_to_end=st.booleans())
    def release(self, position: int, ran_to_end: bool) -> None:
        task_id = list(self.running)[position % len(self.running)]
        del self.running[task_id]
        self.manager.release(task_id, self.now, ran_to_end=ran_to_end)
        with pytest.raises(NotAllocated):
            self.manager.release(task_id, self.now)

    @precondition(lambda self: self.waiting)
    @rule(position=st.integers(0, 1000))
    def withdraw(self, position: int) -> None:
        task_id = list(self.waiting)[position % len(self.waiting)]
        del self.waiting[task_id]
        assert self.manager.withdraw(task_id)
        assert not self.manager.withdraw(task_id)

    @precondition(lambda self: self.waiting)
    @rule(position=st.integers(0, 1000))
    def explain(self, position: int) -> None:
        task_id, request = list(self.waiting.items())[position % len(self.waiting)]
        with pytest.raises(AlreadyAllocated):
            self.manager.request(request)
        waiting = self.manager.waiting(task_id, self.now)
        assert waiting is not None
        assert (waiting["reason"] == "capacity") == self.manager.blocked_by_capacity(request.amounts)
        assert set(waiting["held_by"]) <= set(self.running)
        if waiting["reason"] != "capacity":
            assert 1 <= waiting["position"] <= len(self.waiting)

    @invariant()
    def the_books_agree(self) -> None:
        held: Amounts = {}
        for grant in self.running.values():
            for unit, amount in grant.amounts.items():
                held[unit] = held.get(unit, 0) + amount
        assert self.manager.allocated == held
        assert all(amount <= CAPACITY[unit] for unit, amount in held.items())
        devices = [device for grant in self.running.values() for device in grant.gpu_devices]
        assert len(devices) == len(set(devices))
        assert set(devices) <= {0, 1}
        assert self.manager.running_count == len(self.running)
        assert self.manager.waiting_count == len(self.waiting)
        assert sum(number for _, number in self.manager.pending_by_shape()) == len(self.waiting)

    def teardown(self) -> None:
        """Everyone who can be served is served in the end, and then nothing is held."""
        self.decide(0.0)
        while self.running:
            task_id = next(iter(self.running))
            del self.running[task_id]
            self.manager.release(task_id, self.now)
            self.decide(1.0)
        assert self.manager.allocated == {}
        assert all(self.manager.blocked_by_capacity(request.amounts) for request in self.waiting.values())


ManagerMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestManagerMachine = ManagerMachine.TestCase
