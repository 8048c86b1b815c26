"""Pausing and draining by an admin, on two nodes of one database."""

from collections.abc import Callable
from typing import Any

import httpx

from tests.api.caller import message
from tests.support.service import Service
from tests.support.waiting import wait_until

SECOND_LOOK_S = 20.0
"""A node looks every two seconds; the rest is for a machine that is busy."""


def submit(client: httpx.Client, kind: str, parameters: dict[str, Any]) -> str:
    answer = client.post("/v1/tasks", json=message(kind, parameters))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["body"]["details"]["task_id"])


def status(client: httpx.Client, task_id: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"/v1/tasks/{task_id}").json()["body"]
    return body


def test_a_paused_kind_waits_on_every_node_and_goes_on_when_resumed(start_service: Callable[..., Service]) -> None:
    one, two = start_service(), start_service()
    with (
        one.blocking_client("admin", "admin") as admin,
        one.blocking_client() as alice,
        two.blocking_client() as alice_there,
    ):
        paused = admin.post("/v1/admin/task-types/echo/pause").json()
        assert (paused["type"], paused["paused"], paused["paused_by"]) == ("echo", True, "admin")

        def waits_there() -> bool:
            task_id = submit(alice_there, "echo", {})
            return bool((status(alice_there, task_id)["details"]["waiting"] or {}).get("reason") == "paused")

        wait_until(waits_there, "the other node knows of it", SECOND_LOOK_S)
        held = [submit(alice, "echo", {"n": 1}), submit(alice_there, "echo", {"n": 2})]
        running = submit(alice, "sleep", {"seconds": 0})
        wait_until(lambda: status(alice, running)["status"] == "Completed", "another kind is done")
        assert [status(alice, task_id)["status"] for task_id in held] == ["ResourceAllocation"] * 2
        assert "paused" in alice.get(f"/v1/tasks/{held[0]}/explanation").json()["explanation"]
        assert [each["type"] for each in admin.get("/v1/admin/task-types").json()["items"]] == ["echo"]
        assert admin.post("/v1/admin/task-types/echo/resume").json()["paused"] is False
        for task_id in held:
            wait_until(lambda: status(alice, task_id)["status"] == "Completed", "it goes on", SECOND_LOOK_S)  # noqa: B023 - called before the next round


def test_a_drained_node_hands_back_what_it_runs_and_another_goes_on(start_service: Callable[..., Service]) -> None:
    one = start_service(drain_s="0.5", cancel_grace_s="0.2")
    with one.blocking_client("admin", "admin") as admin, one.blocking_client() as alice:
        [name] = [node["node"] for node in admin.get("/v1/admin/nodes").json()["items"]]
        task_id = submit(alice, "sleep", {"seconds": 600})
        wait_until(lambda: status(alice, task_id)["status"] == "Executing", "it runs")
        assert admin.post(f"/v1/admin/nodes/{name}/drain").json()["mode"] == "draining"
        wait_until(lambda: status(alice, task_id)["status"] == "Waiting", "it is handed back")
        assert status(alice, task_id)["details"]["attempt"] == 0
        later = submit(alice, "echo", {})
        assert status(alice, later)["details"]["waiting"]["reason"] == "paused", "no other node serves"
        start_service()
        wait_until(lambda: status(alice, later)["status"] == "Completed", "another node takes over", SECOND_LOOK_S)
        wait_until(lambda: status(alice, task_id)["status"] == "Executing", "and what was handed back", SECOND_LOOK_S)
        modes = {node["node"]: node["mode"] for node in admin.get("/v1/admin/nodes").json()["items"]}
        assert modes.pop(name) == "draining"
        assert list(modes.values()) == ["serving"]
        alice.post(f"/v1/tasks/{task_id}/cancel")


def test_a_resumed_node_takes_tasks_again(start_service: Callable[..., Service]) -> None:
    service = start_service()
    with service.blocking_client("admin", "admin") as admin, service.blocking_client() as alice:
        [name] = [node["node"] for node in admin.get("/v1/admin/nodes").json()["items"]]
        admin.post(f"/v1/admin/nodes/{name}/pause")
        task_id = submit(alice, "echo", {})
        assert status(alice, task_id)["details"]["waiting"]["reason"] == "paused"
        admin.post(f"/v1/admin/nodes/{name}/resume")
        wait_until(lambda: status(alice, task_id)["status"] == "Completed", "it runs")
        assert admin.post("/v1/admin/nodes/another/pause").status_code == 404
        assert admin.post("/v1/admin/task-types/nothing/pause").status_code == 404
