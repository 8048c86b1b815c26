"""Errors: every one is a problem document, and says no more than it should."""

import base64
import json
import re

import httpx
import pytest

from tests.api.caller import PROBLEM, Caller, message

INVALID = 'Bearer error="invalid_token"'


def test_a_missing_or_bad_token_is_answered_alike_whatever_the_cause(nobody: httpx.Client, alice: Caller) -> None:
    header, claims, signature = alice.token.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    causes: list[list[tuple[str, str]]] = [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", f"Basic {alice.token}")],
        [("Authorization", f"Bearer {header}.{claims}.")],
        [("Authorization", f"Bearer {header}.{claims}.{signature[:-4]}AAAA")],
        [("Authorization", f"Bearer {unsigned}.{claims}.")],
        [("Authorization", f"Bearer {alice.token}=")],
        [("Authorization", f"Bearer {alice.token} x")],
        [("Authorization", "Bearer " + "a" * 9000)],
        [("Authorization", "Bearer \u00e9")],
        [("Authorization", f"Bearer {alice.token}"), ("Authorization", f"Bearer {alice.token}")],
        [("Cookie", f"token={alice.token}")],
        [("X-Forwarded-User", "admin"), ("X-Roles", "admin")],
    ]
    answers = [
        nobody.get("/v1/tasks", headers=[(name.encode(), value.encode()) for name, value in cause]) for cause in causes
    ]
    answers.append(nobody.get("/v1/tasks", params={"access_token": alice.token}))
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {INVALID}
    assert {answer.headers["content-type"] for answer in answers} == {PROBLEM}
    assert len({answer.content for answer in answers}) == 1


def test_a_token_is_asked_for_before_the_body_is_looked_at(nobody: httpx.Client) -> None:
    assert nobody.post("/v1/tasks", content=b"{").status_code == 401
    assert nobody.post("/v1/tasks/batch", content=b"{").status_code == 401


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_scheme_may_be_written_in_any_case(nobody: httpx.Client, alice: Caller, scheme: str) -> None:
    assert nobody.get("/v1/tasks", headers={"Authorization": f"{scheme} {alice.token}"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tasks/",
        "/v1//tasks",
        "//v1/tasks",
        "/V1/tasks",
        "/v1/Tasks",
        "/v1/tasks/batch",
        "/v1/tasks/x/",
        "/v1/tasks/x/result/",
        "/v1/tasks/%2e%2e",
        "/v1/tasks/..%2ftasks",
        "/v1",
        "/",
        "/docs/",
        "/docs/assets/",
        "/docs/assets/..%2fpolicies.py",
        "/docs/assets/%2e%2e",
        "/docs/assets/nothing.js",
        "/openapi.json/",
        "/.git/config",
        "/static-offline-docs/favicon.png",
    ],
)
def test_what_is_not_there_is_a_problem(alice: Caller, path: str) -> None:
    response = alice.http.get(httpx.URL(alice.http.base_url, raw_path=path.encode()))
    assert response.status_code == 404
    check_problem(response)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/tasks", "GET, POST"),
        ("PUT", "/v1/tasks", "GET, POST"),
        ("HEAD", "/v1/tasks", "GET, POST"),
        ("OPTIONS", "/v1/tasks", "GET, POST"),
        ("TRACE", "/v1/tasks", "GET, POST"),
        ("POST", "/v1/tasks/x", "GET"),
        ("DELETE", "/v1/tasks/x", "GET"),
        ("GET", "/v1/tasks/x/cancel", "POST"),
        ("POST", "/v1/resources", "GET"),
        ("POST", "/livez", "GET"),
        ("POST", "/docs", "GET"),
    ],
)
def test_another_method_is_told_which_there_are(nobody: httpx.Client, method: str, path: str, allowed: str) -> None:
    response = nobody.request(method, path, headers={"X-HTTP-Method-Override": "GET"})
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    if method != "HEAD":
        check_problem(response)


def test_every_kind_of_problem_has_its_members(alice: Caller, nobody: httpx.Client) -> None:
    task_id = alice.submit(message(message_id="once"))
    alice.finished(task_id)
    answers = {
        400: alice.post(b"{"),
        401: nobody.get("/v1/tasks"),
        404: alice.get("nothing"),
        405: alice.http.put("/v1/tasks"),
        409: alice.cancel(task_id),
        413: alice.post(b" " * 1_048_577),
        415: alice.http.post("/v1/tasks", content=b"{}"),
        422: alice.post({}),
    }
    for status, response in answers.items():
        assert response.status_code == status
        check_problem(response)
    assert len({response.json()["instance"] for response in answers.values()}) == len(answers)
    assert answers[401].json()["instance"] == "/v1/tasks", "the same for every cause"


def check_problem(response: httpx.Response) -> None:
    body = response.json()
    assert response.headers["content-type"] == PROBLEM
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert {"type", "title", "status", "detail", "instance"} <= set(body)
    assert body["status"] == response.status_code
    assert re.fullmatch(r"urn:task-executor:problem:[a-z-]+", body["type"])
    assert not re.search(r"Traceback|sqlalchemy|asyncpg|pydantic|/app/|SELECT ", json.dumps(body))
