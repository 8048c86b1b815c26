"""Whatever a submitter does, in whatever order, and wherever the service is killed: it is as the model says.

A machine of rules against the real service, over HTTP, on a real Postgres; then every invariant on what is stored.
"""

import asyncio
import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.faults.evidence import Evidence
from tests.faults.invariants import looking_into, read_database, violations
from tests.faults.model import ORDERS, OVER, Expected
from tests.support.service import Service
from tests.support.waiting import wait_until

Json = dict[str, Any]

LEASE_S = 1.0
END_WITHIN_S = 60.0
_numbers = itertools.count(1)


class Submitter(RuleBasedStateMachine):
    """One submitter with tasks of its own, which bear its label."""

    service: Service
    database_url: str
    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.label = f"run-{next(_numbers)}"
        self.http = self.service.blocking_client("machine")
        self.known: list[Expected] = []
        self.killed = False

    # -- submitting -------------------------------------------------------------------------------------

    @rule(target=tasks, order=st.sampled_from(sorted(ORDERS)), priority=st.integers(0, 3))
    def submit(self, order: str, priority: int) -> Any:
        """A new message: accepted, or kept as rejected."""
        message = self._message(order, priority)
        return self._take(message, order, self.http.post("/v1/tasks", json=message))

    @rule(target=tasks, orders=st.lists(st.sampled_from(sorted(ORDERS)), min_size=1, max_size=4))
    def submit_batch(self, orders: list[str]) -> Any:
        """Several at once, with an outcome for each, in order; the last one twice."""
        messages = [self._message(order, 1) for order in orders]
        response = self.http.post("/v1/tasks/batch", json={"messages": [*messages, messages[-1]]})
        assert response.status_code == 200, response.text
        outcomes = response.json()["outcomes"]
        assert len(outcomes) == len(orders) + 1
        *_, once, twice = outcomes
        if orders[-1] != "bad":
            # They race: either of the two may be the one that makes the task.
            assert {once["status"], twice["status"]} == {200, 202}, outcomes
            assert _id(once["task"]) == _id(twice["task"])
        made = [self._add(*each) for each in zip(messages, orders, outcomes, strict=False)]
        return multiple(*made)

    @rule(task=tasks)
    def submit_again(self, task: Expected) -> None:
        """The same message is the same task; a rejected one is rejected anew."""
        response = self.http.post("/v1/tasks", json=task.message)
        if task.order.ending == "Rejected":
            assert response.status_code == 422
            return
        assert (response.status_code, response.headers["idempotent-replayed"]) == (200, "true"), response.text
        task.see(response.json())

    @rule(task=tasks)
    def submit_other_content(self, task: Expected) -> None:
        """Another message under an id that is taken."""
        if task.order.ending != "Rejected":
            other = {**task.message, "body": {**task.message["body"], "priority": 9}}
            other["body"].pop("deadline", None)
            assert self.http.post("/v1/tasks", json=other).status_code == 409

    @rule(target=tasks, task=tasks)
    def retry(self, task: Expected) -> Any:
        """A new task from a failed one; the same request again is the same new task."""
        response = self.http.post(f"/v1/tasks/{task.task_id}/retry")
        if response.status_code == 409:
            assert task.status != "Failed", response.text
            return multiple()
        assert response.status_code in (200, 202), response.text
        details = response.json()["body"]["details"]
        assert details["retry_of"] == task.task_id
        again = details["task_id"] in task.retries
        assert response.status_code == (200 if again else 202)
        task.status = "Failed"
        task.retries.add(details["task_id"])
        assert len(task.retries) == 1
        if again:
            return multiple()
        # A deadline that has passed is left out: there is nothing then that would end it.
        without = task.order.deadline_s is not None and details["deadline"] is None
        order = ORDERS["endless"] if without else task.order
        message_id = response.json()["header"]["reference_id"]
        header = {**task.message["header"], "message_id": message_id}
        made = Expected({**task.message, "header": header}, order, details["task_id"])
        made.retries = {"its message is the service's"}
        self.known.append(made)
        return multiple()

    # -- wishes -----------------------------------------------------------------------------------------

    @rule(task=tasks)
    def cancel(self, task: Expected) -> None:
        """Taken, or too late."""
        response = self.http.post(f"/v1/tasks/{task.task_id}/cancel")
        if response.status_code == 409:
            assert self._look(task)["body"]["status"] in OVER
            return
        assert response.status_code == 202, response.text
        assert task.status not in OVER
        task.cancelled = True
        task.see(response.json())

    @rule(task=tasks, part=st.floats(0, 1))
    def acknowledge(self, task: Expected, part: float) -> None:
        """Some of what was received."""
        sequence = max(1, round(task.sequence * part))
        response = self.http.post(f"/v1/tasks/{task.task_id}/acknowledgements", json={"sequence": sequence})
        assert response.status_code == 200, response.text
        task.acknowledged = max(task.acknowledged, sequence)
        assert response.json()["acknowledged"] <= task.acknowledged

    @rule(task=tasks)
    def acknowledge_too_much(self, task: Expected) -> None:
        """What nobody has sent cannot have been received."""
        response = self.http.post(f"/v1/tasks/{task.task_id}/acknowledgements", json={"sequence": 10_000})
        assert response.status_code in (409, 422), response.text

    # -- looking ----------------------------------------------------------------------------------------

    @rule(task=tasks)
    def poll(self, task: Expected) -> None:
        """Its status."""
        self._look(task)

    @rule(task=tasks)
    def wait(self, task: Expected) -> None:
        """Its status, when it changes or a second has passed."""
        self._look(task, Prefer="wait=1")

    @rule()
    def list_all(self) -> None:
        """Every task of this submitter, and no other."""
        found = self._listed()
        assert found == {task.task_id for task in self.known}

    @rule(task=tasks)
    def read_history(self, task: Expected) -> None:
        """Whole, from the first message."""
        items = self.http.get(f"/v1/tasks/{task.task_id}/messages", params={"limit": 200}).json()["items"]
        assert [item["sequence"] for item in items] == list(range(1, len(items) + 1))
        assert len(items) >= task.sequence

    @precondition(lambda self: not self.killed and len(self.known) > 2)
    @rule()
    def kill(self) -> None:
        """kill -9, and a new start: once in a run, for a start takes seconds."""
        self.killed = True
        self.service.kill()
        self.service.start()
        for task in self.known:
            task.killed = task.status not in OVER
        for task in self.known:
            self._look(task)

    # -- the end ----------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Everything comes to the end that the model foresees, and every invariant holds."""
        try:
            for task in self.known:
                if task.order.ending is None:
                    self.cancel(task)
            for task in self.known:
                wait_until(lambda task=task: self._is_over(task), f"{task.task_id} over", END_WITHIN_S)  # type: ignore[misc]
            assert self._listed() == {task.task_id for task in self.known}
            assert asyncio.run(self._violations()) == []
        finally:
            self.http.close()

    async def _violations(self) -> list[str]:
        ids = [task.task_id for task in self.known]
        seen = Evidence(accepted=set(ids), logs={"the service": self.service.log})
        async with looking_into(self.database_url) as connection:
            await read_database(seen, connection, ids)
        return violations(seen)

    # -- inside -----------------------------------------------------------------------------------------

    def _message(self, name: str, priority: int) -> Json:
        order = ORDERS[name]
        body: Json = {
            "priority": priority,
            "task_specification": {**order.specification, "labels": {"run": self.label}},
        }
        if order.deadline_s is not None:
            body["deadline"] = (datetime.now(UTC) + timedelta(seconds=order.deadline_s)).isoformat()
        header = {"message_id": f"{self.label}-{next(_numbers)}", "timestamp": datetime.now(UTC).isoformat()}
        return {"type": "submit_task", "header": header, "body": body}

    def _take(self, message: Json, order: str, response: httpx.Response) -> Any:
        if response.status_code == 422:
            return self._add(message, order, {"status": 422, "problem": response.json()})
        return self._add(message, order, {"status": response.status_code, "task": response.json()})

    def _add(self, message: Json, order: str, outcome: Json) -> Expected:
        expected = ORDERS[order]
        if expected.ending == "Rejected":
            assert outcome["status"] == 422, outcome
            task = Expected(message, expected, outcome["problem"]["task_id"], "Rejected")
        else:
            assert outcome["status"] in (200, 202), outcome
            task = Expected(message, expected, _id(outcome["task"]))
            task.see(outcome["task"])
        self.known.append(task)
        return task

    def _look(self, task: Expected, **headers: str) -> Json:
        response = self.http.get(f"/v1/tasks/{task.task_id}", headers=headers)
        assert response.status_code == 200, response.text
        status: Json = response.json()
        task.see(status)
        return status

    def _is_over(self, task: Expected) -> bool:
        return self._look(task, Prefer="wait=5")["body"]["status"] in OVER

    def _listed(self) -> set[str]:
        query: Json = {"label": f"run={self.label}", "limit": 200}
        response = self.http.get("/v1/tasks", params=query)
        assert response.status_code == 200, response.text
        items = response.json()["items"]
        found = {_id(item) for item in items}
        assert len(found) == len(items), "one is listed twice"
        return found | {task.task_id for task in self.known if task.status == "Rejected"}


def _id(status: Json) -> str:
    return str(status["body"]["details"]["task_id"])


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        (4, 20),
        pytest.param(
            int(os.environ.get("MACHINE_EXAMPLES", "200")), 50, marks=[pytest.mark.chaos, pytest.mark.timeout(7200)]
        ),
    ],
)
def test_a_submitter_finds_everything_as_the_model_says(
    start_service: Callable[..., Service], database_url: str, examples: int, steps: int
) -> None:
    Submitter.service = start_service(
        lease_s=str(LEASE_S), task_types="tests.e2e.own_kinds", log_level="warn", rate_limit="off", warm_processes="1"
    )
    Submitter.database_url = database_url
    run_state_machine_as_test(
        Submitter,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=examples < 10,
            print_blob=True,
            # A service that has lived through one run is not the same for the next: there is nothing to shrink.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
