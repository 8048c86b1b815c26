"""Doors that the operator may close: the documents and the metrics."""

from collections.abc import Callable

import httpx

from app.protocol.roles import Role
from tests.api.caller import Callers
from tests.support.service import Service

DOCUMENTS = ("/docs", "/redoc", "/openapi.json", "/docs/assets/swagger-ui.css")


def statuses(client: httpx.Client, *paths: str) -> set[int]:
    return {client.get(path).status_code for path in paths}


def test_closed_doors_look_like_walls_and_others_ask_for_a_token(start_service: Callable[..., Service]) -> None:
    service = start_service(documents="closed", metrics="token")
    callers = Callers(service)
    executor, nothing = callers.make(Role.EXECUTOR).http, callers.make().http
    with httpx.Client(base_url=service.url) as nobody:
        assert statuses(nobody, *DOCUMENTS) == statuses(executor, *DOCUMENTS) == {404}
        absent, closed = (nobody.get(path).json() for path in ("/nothing", "/docs"))
        assert {**absent, "instance": ""} == {**closed, "instance": ""}
        answers = [client.get("/metrics").status_code for client in (nobody, nothing, executor)]
        assert answers == [401, 403, 200]
        assert statuses(nobody, "/livez", "/readyz") == {200}, "probes stay open"
    callers.close()


def test_documents_behind_a_token(start_service: Callable[..., Service]) -> None:
    service = start_service(documents="token", metrics="closed")
    callers = Callers(service)
    submitter = callers.make(Role.SUBMITTER).http
    with httpx.Client(base_url=service.url) as nobody:
        assert statuses(nobody, *DOCUMENTS) == {401}
        assert statuses(submitter, *DOCUMENTS) == {200}
        assert statuses(submitter, "/metrics") == {404}
    callers.close()
