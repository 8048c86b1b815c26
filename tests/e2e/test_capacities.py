"""Nodes of different capacity on one database: what only the large one can run runs there, wherever it is submitted."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from tests.api.caller import message
from tests.support.service import Service
from tests.support.waiting import wait_until

KNOWN_WITHIN_S = 30.0
"""A node says what it has at its start and every third of a lease; the rest is for a machine that is busy."""


def capacity(cpu: int) -> str:
    return json.dumps({"cpu": cpu, "memory_mb": 4000})


def submit(client: httpx.Client, cpu: int) -> httpx.Response:
    return client.post("/v1/tasks", json=message("echo", {"n": 1}, resources={"cpu": cpu}))


def test_what_fits_one_node_only_runs_there_and_what_fits_none_is_refused(
    start_service: Callable[..., Service],
) -> None:
    small, large = (start_service(lease_s="3", capacity=capacity(cpu)) for cpu in (1, 6))
    with small.blocking_client() as alice, large.blocking_client("admin", "admin") as admin:
        wait_until(lambda: submit(alice, 4).status_code == 202, "the small node knows the large one", KNOWN_WITHIN_S)
        tasks = [submit(alice, cpu).json()["body"]["details"]["task_id"] for cpu in (4, 6, 1, 5)]
        names = {node["capacity"]["cpu"]: node["node"] for node in admin.get("/v1/admin/nodes").json()["items"]}
        for task_id in tasks:
            wait_until(lambda: alice.get(f"/v1/tasks/{task_id}").json()["body"]["status"] == "Completed", "it ran")  # noqa: B023 - called before the next round
        for task_id in (tasks[0], tasks[1], tasks[3]):
            assert ran_on(alice, task_id) == names[6], "and was never held by the small one"
        refused = submit(alice, 7)
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert error["pointer"] == "/body/task_specification/resources/cpu"
        assert error["detail"] == f"asks for 7, the largest node, {names[6]}, has 6: it could never be granted"
        admin.post(f"/v1/admin/nodes/{names[6]}/pause")
        held_back = submit(alice, 6).json()["body"]["details"]["task_id"]
        explanation = f"/v1/tasks/{held_back}/explanation"

        def why() -> Any:
            return (alice.get(explanation).json()["waiting"] or {}).get("reason")

        wait_until(lambda: why() == "paused", "the only node that is large enough is paused", KNOWN_WITHIN_S)
        large.stop()
        wait_until(lambda: submit(alice, 4).status_code == 422, "no node is large enough any more", KNOWN_WITHIN_S)
        assert "this service has 1 in all" in submit(alice, 4).text


def ran_on(client: httpx.Client, task_id: str) -> str:
    """The node that the resources were allocated on."""
    items: list[dict[str, Any]] = client.get(f"/v1/tasks/{task_id}/messages").json()["items"]
    (allocated,) = [item["message"] for item in items if item["name"] == "ResourcesAllocated"]
    return str(allocated["body"]["node"])
