"""Whose task it is: one's own, another's, and none, on every route of a task and by every way to spell it."""

import http.client
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.policies import POLICIES
from app.protocol.roles import Role
from app.security.own_key import SigningKey, own_signing_key
from tests.api.caller import Caller, Callers, message, sleeping
from tests.support.service import Service

ROUTES = sorted((method, path) for method, path in POLICIES if "{task_id}" in path)
BODIES: dict[str, Any] = {"/acknowledgements": {"sequence": 1}, "/retry": {}, "/redeliver": {"sequence": 1}}
ABSENT = "019dafb4-9c71-7c4e-8d0b-6a1f2e3d4c5b"


def ask(caller: Caller, method: str, path: str, task_id: str) -> httpx.Response:
    body = next((value for end, value in BODIES.items() if path.endswith(end)), None)
    return caller.http.request(method, path.replace("{task_id}", task_id), json=body)


def seen(response: httpx.Response, task_id: str) -> tuple[int, dict[str, str], str]:
    """All that a client sees of an answer, but the request's id, the task's, the time and what is left of its rate."""
    varying = {"date", "ratelimit", "content-length"}
    headers = {name: value for name, value in response.headers.items() if name not in varying}
    body = response.json()
    assert body.pop("instance")
    return response.status_code, headers, json.dumps(body).replace(task_id, "TASK")


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[f"{method} {path}" for method, path in ROUTES])
def test_anothers_task_and_none_are_the_same(alice: Caller, bob: Caller, method: str, path: str) -> None:
    task_id = alice.submit(message())
    alice.finished(task_id)
    history = alice.history(task_id)
    foreign, absent = ask(bob, method, path, task_id), ask(bob, method, path, ABSENT)
    assert foreign.status_code == 404
    assert seen(foreign, task_id) == seen(absent, ABSENT)
    assert alice.history(task_id) == history, "nothing has happened to it"
    own = ask(alice, method, path, task_id)
    assert own.status_code != 404, own.text


@pytest.mark.parametrize(
    "task_id",
    ["0", "1", "%00", "..", "%2e%2e", "' OR 1=1--", "{id}", ABSENT.upper(), ABSENT[:-1], "*", "null", "a" * 5000],
)
def test_ids_that_are_guessed_or_none(alice: Caller, task_id: str) -> None:
    assert alice.http.get(f"/v1/tasks/{task_id}/result").status_code == 404


def test_ids_are_not_in_a_row(alice: Caller) -> None:
    one, two = alice.submit(message()), alice.submit(message())
    assert one[14] == two[14] == "7"
    assert (int(one[-12:], 16) ^ int(two[-12:], 16)).bit_count() > 5


@pytest.fixture
def key(wire: Service) -> SigningKey:
    return own_signing_key(Path(wire.environment["TASK_EXECUTOR_DATA_DIR"]))


def client(wire: Service, key: SigningKey, **claims: Any) -> httpx.Client:
    now = int(time.time())
    standard = {"iss": "task-executor", "aud": "task-executor", "sub": "scoped", "iat": now, "exp": now + 600}
    return httpx.Client(base_url=wire.url, headers={"Authorization": f"Bearer {key.sign({**standard, **claims})}"})


@pytest.mark.parametrize(
    ("scope", "submits", "reads", "administers"),
    [
        ("submit_task monitor_task", True, True, False),
        ("monitor_task", False, True, False),
        ("submit_task", True, False, False),
        ("execute_task", False, False, False),
        ("admin", False, False, False),
        ("submit_task,monitor_task", False, False, False),
        ("", False, False, False),
    ],
)
def test_tokens_with_a_scope(
    wire: Service, key: SigningKey, scope: str, submits: bool, reads: bool, administers: bool
) -> None:
    with client(wire, key, scope=scope) as scoped:
        assert (scoped.post("/v1/tasks", json=message()).status_code == 202) is submits
        assert (scoped.get("/v1/tasks").status_code == 200) is reads
        assert (scoped.get("/v1/admin/revocations").status_code == 200) is administers


@pytest.mark.parametrize("roles", [["admin"], ["submitter"], []])
def test_an_expired_token_is_nobody_on_every_route(wire: Service, key: SigningKey, roles: list[str]) -> None:
    now = int(time.time())
    with client(wire, key, roles=roles, iat=now - 700, exp=now - 100) as expired:
        for method, path in sorted(POLICIES):
            if path.startswith("/v1/"):
                assert expired.request(method, path).status_code == 401, (method, path)


def test_a_submitter_is_no_admin_and_no_executor_and_an_executor_no_submitter(callers: Callers) -> None:
    submitter, executor = callers.make(Role.SUBMITTER).http, callers.make(Role.EXECUTOR).http
    for method, path in sorted(POLICIES):
        if path.startswith("/v1/admin/"):
            assert submitter.request(method, path).status_code == executor.request(method, path).status_code == 403
        if path.startswith("/v1/executions/"):
            assert submitter.request(method, path).status_code == 403, path
    assert executor.post("/v1/tasks", json=message()).status_code == 403


def test_whoever_the_body_says_it_is(alice: Caller, bob: Caller) -> None:
    for name in ("owner", "submitter", "status", "attempts", "lease_owner", "tenant", "roles", "task_id"):
        for place in ((), ("body",), ("header",), ("body", "task_specification")):
            sent = message()
            target: Any = sent
            for step in place:
                target = target[step]
            target[name] = bob.subject
            response = alice.post(sent)
            assert response.status_code == 422, (name, place)
            pointer = "".join(f"/{step}" for step in (*place, name))
            assert pointer in [error["pointer"] for error in response.json()["errors"]]
    assert {item["body"]["details"]["submitter"] for item in alice.http.get("/v1/tasks").json()["items"]} <= {
        alice.subject
    }
    assert bob.http.get("/v1/tasks").json()["items"] == []


def test_filters_and_cursors_of_others_show_nothing(alice: Caller, bob: Caller) -> None:
    ids = [alice.submit(message()) for _ in range(3)]
    cursor = alice.http.get("/v1/tasks", params={"limit": 1}).json()["next_cursor"]
    for query in ({"submitter": alice.subject}, {"cursor": cursor}, {"message_id": "%"}, {"type": "' OR 1=1--"}):
        assert bob.http.get("/v1/tasks", params=query).json()["items"] == [], query
    for query in ({"cursor": cursor + "x"}, {"cursor": "AAAA"}, {"cursor": ids[0]}):
        assert bob.http.get("/v1/tasks", params=query).status_code == 400, query
    for query in (
        {"limit": 10**9},
        {"limit": -1},
        {"offset": 10**6},
        {"sort": "submitter"},
        {"q": "(a+)+$"},
        {"label": "a"},
    ):
        assert bob.http.get("/v1/tasks", params=query).status_code == 422, query


def raw(wire: Service, method: str, path: str, token: str | None, **headers: str) -> tuple[int, dict[str, Any]]:
    """Exactly this method and this path, which httpx would tidy up."""
    connection = http.client.HTTPConnection("127.0.0.1", wire.port, timeout=30)
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body else {}
    finally:
        connection.close()


OTHER_SPELLINGS = (
    "/v1/tasks/", "//v1/tasks", "/v1//tasks", "/V1/TASKS", "/v1/tasks/../tasks", "/v1/%2e%2e/v1/tasks", "/v1/tasks%2f",
    "/v1/tasks;a=b", "/v1/tasks%00", "/v1/./tasks", "/v1/tasks/%2e%2e/tasks", "/./v1/tasks",
    "/v1/admin/../tasks", "/%76%31/admin/nodes/..", "/v1/admin/revocations/", "//v1/admin/revocations",
)  # fmt: skip


@pytest.mark.parametrize("path", OTHER_SPELLINGS)
def test_other_spellings_of_a_path_open_nothing(wire: Service, alice: Caller, path: str) -> None:
    for token in (None, alice.token):
        status, body = raw(wire, "GET", path, token)
        assert status in {401, 404}, (path, status)
        assert body["type"].startswith("urn:task-executor:problem:")


def test_a_path_that_is_only_written_otherwise_has_the_same_rule(wire: Service) -> None:
    for path in ("/v1%2ftasks", "/%76%31/tasks", "/v1/%61dmin/revocations"):
        assert raw(wire, "GET", path, None)[0] == 401


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "CONNECT", "PROPFIND"])
def test_other_methods_open_nothing(wire: Service, admin: Caller, method: str) -> None:
    for path in sorted({path for _, path in POLICIES} - {path for known, path in POLICIES if known == method}):
        plain = path.replace("{task_id}", ABSENT).replace("{", "").replace("}", "")
        status, _ = raw(wire, method, plain, admin.token) if method != "CONNECT" else (405, {})
        assert status in {400, 404, 405}, (method, path, status)


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_a_method_in_a_header_counts_for_nothing(wire: Service, alice: Caller, name: str) -> None:
    status, body = raw(wire, "GET", "/v1/tasks", alice.token, **{name: "POST"})
    assert (status, "items" in body) == (200, True)
    assert raw(wire, "POST", "/v1/tasks/none/cancel", None, **{name: "GET"})[0] == 401


def test_a_task_shows_nothing_of_the_inside(alice: Caller, licence_holder: str) -> None:
    task_id = alice.submit(sleeping())
    shown = alice.get(task_id).text + json.dumps(alice.history(task_id))
    for inside in ("lease", "content_digest", "idempotency_key", "head_hash", "shape", "node-"):
        assert inside not in shown
    alice.cancel(task_id)
