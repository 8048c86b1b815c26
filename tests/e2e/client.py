"""A client as a user would write one: submits messages, waits for their end."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support.waiting import eventually

OVER = {"Completed", "Failed", "Rejected"}
_numbers = itertools.count(1)


def message(kind: str, parameters: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """A submit_task message; `priority` and `deadline` go into its body, the rest into the specification."""
    body: dict[str, Any] = {"priority": members.pop("priority", 1)}
    if "deadline" in members:
        body["deadline"] = members.pop("deadline")
    message_id = members.pop("message_id", f"client-{next(_numbers)}")
    body["task_specification"] = {"type": kind, "parameters": parameters or {}, **members}
    return {
        "type": "submit_task",
        "header": {"message_id": message_id, "timestamp": datetime.now(UTC).isoformat()},
        "body": body,
    }


def from_now(**span: float) -> str:
    """A moment ahead, as messages spell it."""
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


async def submit(client: httpx.AsyncClient, kind: str, parameters: dict[str, Any] | None = None, **members: Any) -> str:
    """Submits a task that is accepted; returns its id."""
    response = await client.post("/v1/tasks", json=message(kind, parameters, **members))
    assert response.status_code == httpx.codes.ACCEPTED, response.text
    task_id: str = response.json()["body"]["details"]["task_id"]
    assert response.headers["location"] == f"/v1/tasks/{task_id}"
    return task_id


async def status(client: httpx.AsyncClient, task_id: str, wait: int = 0) -> dict[str, Any]:
    """The task's status body; held for a change where asked to wait."""
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    response = await client.get(f"/v1/tasks/{task_id}", headers=headers)
    assert response.status_code == httpx.codes.OK, response.text
    body: dict[str, Any] = response.json()["body"]
    return body


async def until_over(client: httpx.AsyncClient, task_id: str, within_s: float = 60) -> dict[str, Any]:
    """The status body of the task once it is over."""

    async def over() -> dict[str, Any] | None:
        body = await status(client, task_id, wait=5)
        return body if body["status"] in OVER else None

    found = await eventually(over, f"{task_id} over", within_s, passing=(httpx.TransportError,))
    assert found is not None
    return found


async def until_all(client: httpx.AsyncClient, task_ids: list[str], wanted: str, within_s: float = 60) -> None:
    """Waits until all of these tasks are in one state."""

    async def there() -> bool:
        bodies = await asyncio.gather(*(status(client, task_id) for task_id in task_ids))
        return all(body["status"] == wanted for body in bodies)

    await eventually(there, f"{len(task_ids)} tasks {wanted}", within_s)
