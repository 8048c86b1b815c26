"""Secrets that are planted everywhere, and everything that the service says, prints or lets its tasks see."""

import json
import time
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import make_url

from tests.api.caller import Json, message
from tests.security.forge import CLAIMS, HEADERS, forge, hs256
from tests.support.machine import free_port
from tests.support.service import Service

PASSWORD = "canary-of-the-database-4711"
SECRET = "canary-of-the-signature-0123456789abcdef"
ENVIRONMENT = "canary-of-the-environment"
PAYLOAD = "canary-of-a-payload"
COMMANDS = (
    ["--help"],
    ["serve", "--help"],
    ["settings"],
    ["doctor"],
    ["openapi"],
    ["token"],
    ["keys", "rotate", "--signing"],
    ["status", "nothing"],
    ["migrate"],
)


def token(subject: str, *roles: str) -> str:
    now = int(time.time())
    claims = {**CLAIMS, "iss": "task-executor", "aud": "task-executor", "sub": subject, "roles": roles}
    return forge(
        HEADERS["HS256"][0], {**claims, "iat": now, "exp": now + 600}, lambda text: hs256(text, SECRET.encode())
    )


@pytest.mark.timeout(300)
def test_planted_secrets_are_found_nowhere(start_service: Callable[..., Service], database_url: str) -> None:
    with_password = make_url(database_url).set(password=PASSWORD).render_as_string(hide_password=False)
    service = start_service(
        from_scratch=True, jwt_secret=SECRET, database_url=with_password, task_types="tests.security.prying"
    )
    service.environment["AWS_SECRET_ACCESS_KEY"] = ENVIRONMENT
    service.stop()
    service.start()
    alice = token("alice", "submitter", "admin")
    said: list[str] = []
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {alice}"}, timeout=60) as client:
        accepted = client.post("/v1/tasks", json=message("echo", {"password": PAYLOAD}))
        assert accepted.status_code == 202
        task_id = accepted.json()["body"]["details"]["task_id"]
        for wrong in (
            message("echo", {"password": PAYLOAD}, message_id=PAYLOAD * 20),
            message("sleep", {"seconds": PAYLOAD}),
            message("echo", {}, priority=PAYLOAD),
            message("echo", {}, deadline=PAYLOAD),
            message("echo", {}, timeout_s=PAYLOAD, labels={"a": [PAYLOAD]}),
        ):
            response = client.post("/v1/tasks", json=wrong)
            assert response.status_code == 422, response.text
            said.append(response.text)
        said.append(client.post("/v1/tasks", content=f'{{"a": "{PAYLOAD}"'.encode()).text)
        said += [
            client.get(path, headers=headers).text
            for path in (
                "/metrics",
                "/openapi.json",
                "/docs",
                "/readyz",
                "/v1/resources",
                "/v1/task-types",
                "/v1/tasks/none",
            )
            for headers in ({}, {"Authorization": f"Bearer {alice}x"}, {"Authorization": f"Basic {SECRET}"})
        ]
        assert client.get(f"/v1/tasks/{task_id}", headers={"Prefer": "wait=20"}).status_code == 200
        pried = client.post("/v1/tasks", json=message("pry")).json()["body"]["details"]["task_id"]
        saw = finished(client, pried)["body"]["details"]["result"]
    service.stop()
    said += [f"{ended.stdout}{ended.stderr}" for ended in (service.command(*words) for words in COMMANDS)]
    service.environment["TASK_EXECUTOR_DATABASE_URL"] = f"postgresql://user:{PASSWORD}@127.0.0.1:{free_port()}/none"
    said += [service.command(command).stderr for command in ("serve", "migrate", "doctor")]
    said += [service.log, json.dumps(saw)]
    signature = alice.rsplit(".", 1)[1]
    for canary in (PASSWORD, SECRET, ENVIRONMENT, PAYLOAD, signature):
        assert [text[max(0, text.index(canary) - 300) :][:400] for text in said if canary in text] == [], canary
    assert [name for name in saw["above"] if "guardian" in name]
    assert [name for name in saw["above"] if "serve" in name]
    for name, seen in saw["above"].items():
        assert all(answer.startswith("refused") for answer in seen.values()), (name, seen)
    inherited = {name: target for name, target in saw["files"].items() if int(name) > 2 and "/proc/" not in target}
    assert all(target.startswith(("socket:", "pipe:", "/dev/null")) for target in inherited.values()), inherited
    assert len(inherited) <= 2, inherited


def finished(client: httpx.Client, task_id: str) -> Json:
    """The status of the task when it is over."""
    while True:
        status: Json = client.get(f"/v1/tasks/{task_id}", headers={"Prefer": "wait=20"}).json()
        if status["body"]["status"] in ("Completed", "Failed"):
            assert status["body"]["status"] == "Completed", status
            return status
