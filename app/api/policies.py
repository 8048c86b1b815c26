"""Who may call what: one table, and the check that every route goes through before anything else."""

import time
from enum import Enum
from typing import Literal

from starlette.types import Scope

from app.api.problems import NOT_FOUND, UNAUTHENTICATED, Problem
from app.protocol.roles import Permission, Principal, Role
from app.security.tokens import TokenVerifier


class Open(Enum):
    """Routes that need no token: always, or unless the operator closes them."""

    PUBLIC = "public"
    DOCUMENTS = "documents"
    METRICS = "metrics"


PUBLIC, DOCUMENTS, METRICS = Open.PUBLIC, Open.DOCUMENTS, Open.METRICS
AdminRole = Literal[Role.ADMIN]
Policy = Permission | AdminRole | Open
"""A permission; the role admin, for what none of the protocol's permissions speaks of; or open to everyone."""

SUBMIT, EXECUTE, MONITOR = Permission.SUBMIT_TASK, Permission.EXECUTE_TASK, Permission.MONITOR_TASK
ADMIN: AdminRole = Role.ADMIN

POLICIES: dict[tuple[str, str], Policy] = {
    ("POST", "/v1/tasks"): SUBMIT,
    ("POST", "/v1/tasks/batch"): SUBMIT,
    ("GET", "/v1/tasks"): MONITOR,
    ("GET", "/v1/tasks/{task_id}"): MONITOR,
    ("GET", "/v1/tasks/{task_id}/result"): MONITOR,
    ("GET", "/v1/tasks/{task_id}/messages"): MONITOR,
    ("GET", "/v1/tasks/{task_id}/explanation"): MONITOR,
    ("GET", "/v1/tasks/{task_id}/events"): MONITOR,
    ("POST", "/v1/tasks/{task_id}/acknowledgements"): SUBMIT,
    ("GET", "/v1/tasks/{task_id}/deliveries"): MONITOR,
    ("POST", "/v1/tasks/{task_id}/deliveries/redeliver"): SUBMIT,
    ("GET", "/v1/webhook-secrets"): SUBMIT,
    ("POST", "/v1/webhook-secrets"): SUBMIT,
    ("DELETE", "/v1/webhook-secrets/{secret_id}"): SUBMIT,
    ("POST", "/v1/tasks/{task_id}/retry"): SUBMIT,
    ("POST", "/v1/tasks/{task_id}/cancel"): SUBMIT,
    ("DELETE", "/v1/tasks/{task_id}/content"): SUBMIT,
    ("GET", "/v1/task-types"): MONITOR,
    ("GET", "/v1/task-types/{name}"): MONITOR,
    ("GET", "/v1/resources"): MONITOR,
    ("POST", "/v1/executions/claim"): EXECUTE,
    ("POST", "/v1/executions/{execution_id}/heartbeat"): EXECUTE,
    ("POST", "/v1/executions/{execution_id}/progress"): EXECUTE,
    ("POST", "/v1/executions/{execution_id}/complete"): EXECUTE,
    ("POST", "/v1/executions/{execution_id}/fail"): EXECUTE,
    ("GET", "/v1/admin/nodes"): ADMIN,
    ("POST", "/v1/admin/nodes/{node}/pause"): ADMIN,
    ("POST", "/v1/admin/nodes/{node}/drain"): ADMIN,
    ("POST", "/v1/admin/nodes/{node}/resume"): ADMIN,
    ("GET", "/v1/admin/task-types"): ADMIN,
    ("POST", "/v1/admin/task-types/{name}/pause"): ADMIN,
    ("POST", "/v1/admin/task-types/{name}/resume"): ADMIN,
    ("GET", "/v1/admin/revocations"): ADMIN,
    ("POST", "/v1/admin/revocations"): ADMIN,
    ("DELETE", "/v1/admin/revocations/{revocation_id}"): ADMIN,
    ("GET", "/v1/admin/webhooks"): ADMIN,
    ("POST", "/v1/admin/webhooks/redeliver"): ADMIN,
    ("GET", "/v1/quota"): MONITOR,
    ("GET", "/v1/admin/quotas"): ADMIN,
    ("GET", "/v1/admin/quotas/{submitter}"): ADMIN,
    ("PUT", "/v1/admin/quotas/{submitter}"): ADMIN,
    ("DELETE", "/v1/admin/quotas/{submitter}"): ADMIN,
    ("GET", "/livez"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): METRICS,
    ("GET", "/.well-known/jwks.json"): PUBLIC,
    ("GET", "/openapi.json"): DOCUMENTS,
    ("GET", "/docs"): DOCUMENTS,
    ("GET", "/docs/assets/{name}"): DOCUMENTS,
    ("GET", "/redoc"): DOCUMENTS,
}


Door = Literal["open", "token", "closed"]


def opened(policy: Open, door: Door) -> Policy:
    """The policy of a route that the operator may close. Raises the 404 problem where it is closed."""
    if door == "closed":
        raise NOT_FOUND
    return MONITOR if door == "token" else policy


def policy_of(method: str, path: str) -> Policy:
    """The policy of a route. Raises LookupError for one that nobody has thought about: it must not exist."""
    try:
        return POLICIES[method, path]
    except KeyError:
        raise LookupError(f"{method} {path} has no policy: say in policies.py who may call it") from None


def methods_of(path: str) -> list[str]:
    """The methods that a path takes, in the order of the alphabet."""
    return sorted(method for method, known in POLICIES if known == path)


def authenticate(scope: Scope, verifier: TokenVerifier) -> Principal:
    """The caller by its bearer token. Raises InvalidToken, or the same problem where there is no token or two."""
    token = _bearer_token(scope)
    if token is None:
        raise UNAUTHENTICATED
    return verifier.verify(token, time.time())


def recognize(scope: Scope, verifier: TokenVerifier) -> Principal | None:
    """The caller, where its token has been verified before: a look into a table."""
    token = _bearer_token(scope)
    return None if token is None else verifier.remembered(token, time.time())


def _bearer_token(scope: Scope) -> bytes | None:
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) != 1 or found[0][:7].lower() != b"bearer ":
        return None
    token: bytes = found[0][7:]
    return token


def check_permission(principal: Principal, needed: Permission | AdminRole) -> None:
    """Raises a 403 problem for a caller who holds neither the permission nor the role."""
    if isinstance(needed, Permission):
        if needed not in principal.permissions:
            raise Problem(403, "permission-missing", f"The token lacks the permission {needed}.")
    elif not principal.admin:
        raise Problem(403, "permission-missing", f"The token lacks the role {needed}.")
