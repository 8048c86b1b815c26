"""Every route has a policy, and every policy a route."""

import time

import pytest
from fastapi.routing import APIRoute, APIRouter, iter_route_contexts

from app.api.policies import ADMIN, POLICIES, authenticate, check_permission, methods_of, policy_of
from app.api.problems import Problem
from app.api.routers import HOT, ROUTERS
from app.api.routing import PolicedRoute, SlimRoute
from app.main import create_app
from app.protocol.roles import Principal
from tests.security.forge import verifier, with_claims


def routes() -> list[APIRoute]:
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def test_every_route_is_policed() -> None:
    assert [route.path for route in routes() if not isinstance(route, PolicedRoute)] == []
    assert all(isinstance(route, SlimRoute) for router in HOT for route in router.routes)
    assert sum(len(router.routes) for router in ROUTERS) == len(routes())


def test_every_policy_has_its_route_and_every_route_its_policy() -> None:
    served = [(method, route.path) for route in routes() for method in route.methods or ()]
    assert sorted(served) == sorted(POLICIES)


def test_the_application_answers_nothing_but_these_routes() -> None:
    """Neither FastAPI's own pages nor the instrumentator add a door of their own."""
    answered = [context.original_route for context in iter_route_contexts(create_app().routes)]
    assert len(answered) == len(routes())
    assert all(isinstance(route, PolicedRoute) for route in answered)


def test_a_route_without_a_policy_cannot_be_made() -> None:
    router = APIRouter(route_class=PolicedRoute)
    with pytest.raises(LookupError, match="GET /v1/secrets has no policy"):
        router.get("/v1/secrets")(lambda: None)


def test_policies_by_path() -> None:
    assert methods_of("/v1/tasks") == ["GET", "POST"]
    assert policy_of("GET", "/v1/tasks") is POLICIES["GET", "/v1/tasks"]


def test_what_is_for_admins_is_opened_by_no_permission() -> None:
    def caller(**claims: object) -> Principal:
        headers = [(b"authorization", b"Bearer " + with_claims(**times, **claims).encode())]
        return authenticate({"headers": headers}, verifier())

    now = int(time.time())
    times = {"iat": now, "exp": now + 60}
    check_permission(caller(roles=["admin"]), ADMIN)
    for claims in ({"roles": ["submitter", "executor"]}, {"roles": ..., "scope": "submit_task admin"}):
        with pytest.raises(Problem, match="lacks the role admin"):
            check_permission(caller(**claims), ADMIN)
