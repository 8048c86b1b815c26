"""Why a task waits that the node asked does not have at hand."""

from collections.abc import Callable
from typing import Any

import httpx

from tests.api.caller import message
from tests.support.service import Service
from tests.support.waiting import wait_until

ONE_AT_A_TIME = '{"cpu": 1, "custom": {"licence": 1}}'
MORE_THAN_A_NODE_HOLDS = 260


def submit(client: httpx.Client, seconds: float = 600) -> str:
    answer = client.post("/v1/tasks", json=message("sleep", {"seconds": seconds}, resources={"custom": {"licence": 1}}))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["body"]["details"]["task_id"])


def explained(client: httpx.Client, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/tasks/{task_id}/explanation").json()
    return found


def test_a_task_that_waits_in_the_database_or_at_another_node_is_explained(
    start_service: Callable[..., Service],
) -> None:
    service = start_service(capacity=ONE_AT_A_TIME, rate_limit="off")
    with service.blocking_client() as alice:
        submit(alice, 0)
        first = submit(alice)
        tasks = [submit(alice) for _ in range(MORE_THAN_A_NODE_HOLDS)]
        waiting = explained(alice, tasks[-1])["waiting"]
        assert waiting["position"] == MORE_THAN_A_NODE_HOLDS
        assert (waiting["reason"], waiting["missing"]) == ("insufficient", {"custom": {"licence": 1}})
        start, (earliest, latest) = waiting["expected_start"], waiting["expected_start_range"]
        assert earliest <= start <= latest
        said = explained(alice, tasks[-1])["explanation"]
        assert said.startswith(f"waits for 1 licence; {MORE_THAN_A_NODE_HOLDS - 1} tasks are ahead; expected in about")
        other = start_service(capacity='{"cpu": 1, "custom": {"licence": 0}}', rate_limit="off")
        with other.blocking_client() as alice_there:

            def position_there() -> Any:
                return explained(alice_there, tasks[1])["waiting"].get("position")

            wait_until(lambda: position_there() == 2, "the other node tells what waits at the first", 20)

            def missing_there() -> Any:
                return explained(alice_there, tasks[1])["waiting"].get("missing") == {"custom": {"licence": 1}}

            wait_until(missing_there, "what is missing, as the first node reports it", 20)
        alice.post(f"/v1/tasks/{first}/cancel")
