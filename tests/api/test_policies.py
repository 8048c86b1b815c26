"""Who may call what, from outside. The table here is written by hand, to differ from the one that it checks."""

import httpx
import pytest

from app.protocol.roles import Role
from tests.api.caller import Callers

ALL = {None, Role.SUBMITTER, Role.EXECUTOR, Role.ADMIN}
MONITOR: set[Role | None] = {Role.SUBMITTER, Role.EXECUTOR, Role.ADMIN}
SUBMIT: set[Role | None] = {Role.SUBMITTER, Role.ADMIN}
EXECUTE: set[Role | None] = {Role.EXECUTOR, Role.ADMIN}
ADMIN: set[Role | None] = {Role.ADMIN}

# What a caller that is let in is told: none of these requests names anything that there is.
WALK: list[tuple[str, str, set[Role | None], int]] = [
    ("POST", "/v1/tasks", SUBMIT, 415),
    ("POST", "/v1/tasks/batch", SUBMIT, 415),
    ("GET", "/v1/tasks", MONITOR, 200),
    ("GET", "/v1/tasks/{task_id}", MONITOR, 404),
    ("GET", "/v1/tasks/{task_id}/result", MONITOR, 404),
    ("GET", "/v1/tasks/{task_id}/messages", MONITOR, 404),
    ("GET", "/v1/tasks/{task_id}/explanation", MONITOR, 404),
    ("GET", "/v1/tasks/{task_id}/events", MONITOR, 404),
    ("POST", "/v1/tasks/{task_id}/acknowledgements", SUBMIT, 404),
    ("POST", "/v1/tasks/{task_id}/retry", SUBMIT, 404),
    ("POST", "/v1/tasks/{task_id}/cancel", SUBMIT, 404),
    ("DELETE", "/v1/tasks/{task_id}/content", SUBMIT, 404),
    ("GET", "/v1/task-types", MONITOR, 200),
    ("GET", "/v1/task-types/{name}", MONITOR, 404),
    ("GET", "/v1/resources", MONITOR, 200),
    ("GET", "/v1/tasks/{task_id}/deliveries", MONITOR, 404),
    ("POST", "/v1/tasks/{task_id}/deliveries/redeliver", SUBMIT, 404),
    ("GET", "/v1/webhook-secrets", SUBMIT, 200),
    ("POST", "/v1/webhook-secrets", SUBMIT, 201),
    ("DELETE", "/v1/webhook-secrets/{secret_id}", SUBMIT, 404),
    ("GET", "/v1/admin/webhooks", ADMIN, 200),
    ("POST", "/v1/admin/webhooks/redeliver", ADMIN, 422),
    ("POST", "/v1/executions/claim", EXECUTE, 415),
    ("POST", "/v1/executions/{execution_id}/heartbeat", EXECUTE, 404),
    ("POST", "/v1/executions/{execution_id}/progress", EXECUTE, 415),
    ("POST", "/v1/executions/{execution_id}/complete", EXECUTE, 415),
    ("POST", "/v1/executions/{execution_id}/fail", EXECUTE, 415),
    ("GET", "/v1/admin/nodes", ADMIN, 200),
    ("POST", "/v1/admin/nodes/{node}/pause", ADMIN, 404),
    ("POST", "/v1/admin/nodes/{node}/drain", ADMIN, 404),
    ("POST", "/v1/admin/nodes/{node}/resume", ADMIN, 404),
    ("GET", "/v1/admin/task-types", ADMIN, 200),
    ("POST", "/v1/admin/task-types/{name}/pause", ADMIN, 404),
    ("POST", "/v1/admin/task-types/{name}/resume", ADMIN, 404),
    ("GET", "/v1/admin/revocations", ADMIN, 200),
    ("POST", "/v1/admin/revocations", ADMIN, 415),
    ("DELETE", "/v1/admin/revocations/{revocation_id}", ADMIN, 404),
    ("GET", "/v1/quota", MONITOR, 200),
    ("GET", "/v1/admin/quotas", ADMIN, 200),
    ("GET", "/v1/admin/quotas/{submitter}", ADMIN, 200),
    ("PUT", "/v1/admin/quotas/{submitter}", ADMIN, 415),
    ("DELETE", "/v1/admin/quotas/{submitter}", ADMIN, 404),
    ("GET", "/livez", ALL, 200),
    ("GET", "/readyz", ALL, 200),
    ("GET", "/metrics", ALL, 200),
    ("GET", "/.well-known/jwks.json", ALL, 200),
    ("GET", "/openapi.json", ALL, 200),
    ("GET", "/docs", ALL, 200),
    ("GET", "/redoc", ALL, 200),
    ("GET", "/docs/assets/{name}", ALL, 404),
]


@pytest.mark.parametrize(("method", "path", "admitted", "status"), WALK, ids=[f"{case[0]} {case[1]}" for case in WALK])
def test_the_walk_of_all_routes_by_all_roles(
    callers: Callers, nobody: httpx.Client, method: str, path: str, admitted: set[Role | None], status: int
) -> None:
    clients: dict[Role | None, httpx.Client] = {None: nobody, **{role: callers.make(role).http for role in Role}}
    members = ("task_id", "name", "node", "revocation_id", "execution_id", "submitter", "secret_id")
    named = path.format(**dict.fromkeys(members, "none"))
    answers = {role: client.request(method, named) for role, client in clients.items()}
    expected = {role: status if role in admitted else (401 if role is None else 403) for role in clients}
    assert {role: answer.status_code for role, answer in answers.items()} == expected
    for role, answer in answers.items():
        if expected[role] == 403:
            assert answer.json()["type"] == "urn:task-executor:problem:permission-missing"


def test_a_token_without_a_role_permits_nothing(callers: Callers) -> None:
    client = callers.make().http
    assert client.get("/v1/tasks").status_code == 403
    assert client.get("/v1/resources").status_code == 403
    assert client.get("/livez").status_code == 200


def test_the_walk_leaves_no_route_out() -> None:
    from app.api.policies import POLICIES  # noqa: PLC0415 - only to see that nothing was forgotten

    assert {(method, path) for method, path, _, _ in WALK} == set(POLICIES)
