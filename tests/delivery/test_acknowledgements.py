"""Acknowledgements at another node than the one that holds the task."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.protocol.roles import Role
from tests.api.caller import Caller, Callers, details, message
from tests.support.service import Service
from tests.support.waiting import wait_until

Start = Callable[..., Service]


@contextmanager
def two_nodes(start_service: Start, **settings: str) -> Iterator[tuple[Caller, Caller]]:
    """The same submitter at two nodes; what it submits to the first is run there, which has room."""
    first = Callers(start_service(**settings))
    second = Callers(start_service(**settings))
    try:
        here = first.make(Role.SUBMITTER)
        yield here, second.make(Role.SUBMITTER, subject=here.subject)
    finally:
        first.close()
        second.close()


def acknowledge(caller: Caller, task_id: str, sequence: int) -> int:
    response = caller.http.post(f"/v1/tasks/{task_id}/acknowledgements", json={"sequence": sequence})
    assert response.status_code == 200, response.text
    return int(response.json()["acknowledged"])


def recorded(caller: Caller, task_id: str) -> list[int]:
    """What the history knows to be acknowledged."""
    items = caller.history(task_id)
    assert [item["sequence"] for item in items] == list(range(1, len(items) + 1))
    return [item["message"]["body"]["sequence"] for item in items if item["name"] == "Acknowledge"]


def wait_until_recorded(caller: Caller, task_id: str, sequence: int) -> None:
    wait_until(lambda: details(caller.get(task_id).json())["acknowledged"] == sequence, "recorded", within_s=20)


def test_the_holder_records_word_that_was_left_at_another_node(start_service: Start) -> None:
    with two_nodes(start_service, lease_s="1") as (holder, other):
        task_id = holder.submit(message("sleep", {"seconds": 600}))
        holder.once(task_id, {"Executing"})
        assert [acknowledge(other, task_id, sequence) for sequence in (2, 5, 4)] == [2, 5, 5]
        wait_until_recorded(other, task_id, 5)
        assert recorded(other, task_id)[-1] == 5
        # The holder was not disturbed: it still runs the task, and ends it.
        other.cancel(task_id)
        assert details(holder.finished(task_id))["reason"] == "cancelled"
        assert acknowledge(other, task_id, 5) == 5


def test_word_that_came_too_late_for_the_holder_is_recorded_behind_the_end(start_service: Start) -> None:
    # A heartbeat each 2 s: none falls between the acknowledgement and the end as a rule, and either way it is kept.
    with two_nodes(start_service, lease_s="6") as (holder, other):
        task_id = holder.submit(message("sleep", {"seconds": 0.5}))
        holder.once(task_id, {"Executing"})
        assert acknowledge(other, task_id, 5) == 5
        holder.finished(task_id)
        wait_until_recorded(other, task_id, 5)
        assert recorded(other, task_id) == [5]
        last = details(other.get(task_id).json())["sequence"]
        assert acknowledge(other, task_id, last - 1) == last - 1
