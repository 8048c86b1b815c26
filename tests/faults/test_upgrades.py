"""A migration beside a service that serves: nobody notices more than a call that has to be repeated.

The service is of this version: it starts on the newest schema, which is then taken back, so only revisions that it can
do without are tried (0013 with the heads of the audit trail off).
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from alembic import command

from tests.e2e.client import message, until_over
from tests.storage.test_migrations import move
from tests.support.service import Service
from tests.support.waiting import eventually

REPEATED = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
CLIENTS = 4
TASKS = 40


class Load:
    """Clients that submit a task, wait for its end and erase it, one after the other; a call is repeated once."""

    def __init__(self, client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        self._client, self._admin = client, admin
        self.ended = asyncio.Event()
        self.over: list[str] = []
        self.errors: list[str] = []

    async def run(self) -> None:
        while not self.ended.is_set():
            submission = message("echo", {"text": "x" * 100})
            response = await self._call(self._client, "POST", "/v1/tasks", json=submission)
            if response.is_error:
                continue
            task_id = response.json()["body"]["details"]["task_id"]
            body = await until_over(self._client, task_id)
            assert body["status"] == "Completed", body
            await self._call(self._admin, "DELETE", f"/v1/tasks/{task_id}/content")
            self.over.append(task_id)

    async def _call(self, client: httpx.AsyncClient, method: str, path: str, **content: Any) -> httpx.Response:
        response = await client.request(method, path, **content)
        if response.status_code in REPEATED:
            response = await client.request(method, path, **content)
        if response.is_error:
            self.errors.append(f"{method} {path}: {response.status_code} {response.text}")
        return response

    async def more(self, tasks: int) -> None:
        """Waits until so many more are over than now."""
        target = len(self.over) + tasks

        async def reached() -> bool:
            return len(self.over) >= target or bool(self.errors)

        await eventually(reached, f"{target} tasks over", 120)


@pytest.mark.parametrize("before", ["0012", "0013"])
async def test_migrating_to_the_newest_schema_under_load(
    start_service: Callable[..., Service], database_url: str, before: str
) -> None:
    service = start_service(audit_head_s="0", rate_limit="off")
    await move(database_url, command.downgrade, before)
    async with service.client() as client, service.client("root", "admin") as admin:
        load = Load(client, admin)
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(load.run())
            await load.more(TASKS)
            migrated = await asyncio.to_thread(service.command, "migrate")
            await load.more(TASKS)
            load.ended.set()
    assert migrated.returncode == 0, migrated.stderr
    assert load.errors == []
    verified = await asyncio.to_thread(service.command, "audit", "verify", "--all")
    assert "every history is whole" in verified.stdout, verified.stdout + verified.stderr
    assert '"level":"error"' not in service.log
