"""One caller of the service: a subject with a token, and the messages that it sends."""

import itertools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from app.protocol.roles import Role
from app.security.envelopes.recipients import Recipient
from app.security.issuing import issue
from app.security.own_key import own_signing_key
from tests.support.service import NO_AUTHORITIES, Service

Json = dict[str, Any]

PROBLEM = "application/problem+json"
TERMINAL = {"Completed", "Failed", "Rejected"}
LICENCE = {"custom": {"licence": 1}}
"""The service of these tests has one licence: who holds it keeps others waiting."""

PROTOCOL_EXAMPLE: Json = {
    "type": "submit_task",
    "header": {"message_id": "task-123", "timestamp": "2024-03-21T10:00:00Z"},
    "body": {
        "task_specification": {
            "type": "data_processing",
            "parameters": {
                "input_source": "data_stream_1",
                "processing_steps": ["validate", "transform", "aggregate"],
            },
        },
        "priority": 1,
        "deadline": "2024-03-21T10:30:00Z",
    },
}

_numbers = itertools.count(1)


def at(**ahead: float) -> str:
    """A time from now, as the wire spells it: `at(minutes=5)`."""
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat().replace("+00:00", "Z")


def message(kind: str = "echo", parameters: Mapping[str, Any] | None = None, **members: Any) -> Json:
    """A submit_task message. `members` are those of its specification, but priority, deadline and message_id."""
    body: Json = {
        "priority": members.pop("priority", 1),
        **({"deadline": members.pop("deadline")} if "deadline" in members else {}),
    }
    header = {"message_id": members.pop("message_id", f"message-{next(_numbers)}"), "timestamp": at()}
    body["task_specification"] = {"type": kind, "parameters": dict(parameters or {}), **members}
    return {"type": "submit_task", "header": header, "body": body}


def sleeping(seconds: float = 600, **members: Any) -> Json:
    """A message for a task that holds the one licence, or waits for it."""
    return message("sleep", {"seconds": seconds}, resources=LICENCE, **members)


def pointers(response: httpx.Response) -> list[str]:
    """The members that a problem complains about."""
    return [error["pointer"] for error in response.json()["errors"]]


def details(status: Json) -> Json:
    """`body.details` of a task_status message."""
    found: Json = status["body"]["details"]
    return found


@dataclass
class Caller:
    """See the module's docstring."""

    subject: str
    token: str
    http: httpx.Client

    def post(self, content: Json | bytes, query: str = "", **headers: str) -> httpx.Response:
        """POST /v1/tasks; header names with underscores for hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(content, bytes):
            return self.http.post(
                f"/v1/tasks{query}", content=content, headers={"Content-Type": "application/json", **sent}
            )
        return self.http.post(f"/v1/tasks{query}", json=content, headers=sent)

    def submit(self, content: Json) -> str:
        """The task_id of an accepted message."""
        response = self.post(content)
        assert response.status_code == 202, response.text
        return str(details(response.json())["task_id"])

    def get(self, task_id: str, rest: str = "", **headers: str) -> httpx.Response:
        """GET of a task, or of what lies under it."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.get(f"/v1/tasks/{task_id}{rest}", headers=sent)

    def cancel(self, task_id: str) -> httpx.Response:
        """POST …/cancel."""
        return self.http.post(f"/v1/tasks/{task_id}/cancel")

    def once(self, task_id: str, states: Iterable[str]) -> Json:
        """The status as soon as the task is in one of the states, by long polls. Fails where it ends otherwise."""
        etag = ""
        wanted = set(states)
        while True:
            response = self.get(task_id, Prefer="wait=20", **({"If-None-Match": etag} if etag else {}))
            if response.status_code == 304:
                continue
            assert response.status_code == 200, response.text
            status: Json = response.json()
            if status["body"]["status"] in wanted:
                return status
            assert status["body"]["status"] not in TERMINAL, status
            etag = response.headers["etag"]

    def finished(self, task_id: str) -> Json:
        """The status of the task when it is over."""
        return self.once(task_id, TERMINAL)

    def history(self, task_id: str, **query: Any) -> list[Json]:
        """One page of the task's history."""
        response = self.http.get(f"/v1/tasks/{task_id}/messages", params={"limit": 200, **query})
        assert response.status_code == 200, response.text
        items: list[Json] = response.json()["items"]
        return items


class Callers:
    """Makes callers of one service: tokens are signed here, with the service's own key."""

    def __init__(self, service: Service) -> None:
        self._url = service.url
        self._key = own_signing_key(Path(service.environment["TASK_EXECUTOR_DATA_DIR"]))
        self._clients: list[httpx.Client] = []

    def make(self, *roles: Role, subject: str | None = None, bound_to: Recipient | None = None) -> Caller:
        """A caller of these roles whose subject nobody else has, unless it is given; its token bound to a key."""
        name = subject or f"caller-{uuid4().hex[:12]}"
        token = issue(self._key, name, roles, 3600, time.time(), bound_to=bound_to)
        headers = {"Authorization": f"Bearer {token}"}
        client = httpx.Client(base_url=self._url, timeout=30, headers=headers, verify=NO_AUTHORITIES)
        self._clients.append(client)
        return Caller(name, token, client)

    def close(self) -> None:
        """Closes their connections."""
        for client in self._clients:
            client.close()
