"""Each kind of exception at each route: a problem document that says nothing of the inside, never a broken answer."""

import json
from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.api.policies import POLICIES, Open
from app.api.problems import KNOWN, Problem
from app.main import create_app
from app.protocol.problems import MemberError
from app.protocol.strict_json import ForbiddenJson, NotJson
from app.security.address_limits import AddressLimits
from app.security.envelopes.errors import (
    ContentUnavailable,
    EnvelopeTooLarge,
    InvalidEnvelope,
    UnusableAnswerKey,
    WrongSender,
)
from app.security.errors import InvalidToken
from app.security.rate_limits import SubjectLimits
from app.storage.errors import Conflict, DuplicateMessage, Overloaded, QuotaExceeded, StorageUnavailable
from app.storage.revocations import TooManyRevocations
from app.submission.outcomes import InvalidTask
from app.submission.retry import ContentErased
from tests.api.caller import PROBLEM, message
from tests.security.forge import CLAIMS, NOW, forge, verifier
from tests.storage.stored import accepted_task

INSIDE = "SELECT secret FROM inside"
TASK_ID = "019dafb4-9c71-7c4e-8d0b-6a1f2e3d4c5b"

ERRORS: list[tuple[Exception, int]] = [
    (Problem(409, "known", "A known problem."), 409),
    (InvalidToken(INSIDE), 401),
    (NotJson("not JSON"), 400),
    (ForbiddenJson("forbidden"), 422),
    (InvalidTask([MemberError("/a", "is wrong")], None), 422),
    (DuplicateMessage(INSIDE), 503),
    (StorageUnavailable(INSIDE), 503),
    (Overloaded(INSIDE), 503),
    (TooManyRevocations("too many"), 409),
    (ClientDisconnect(), 400),
    (RequestValidationError([]), 422),
    (HTTPException(404, INSIDE), 404),
    (InvalidEnvelope(INSIDE), 400),
    (EnvelopeTooLarge(1000), 413),
    (WrongSender(), 403),
    (UnusableAnswerKey("is too short"), 422),
    (ContentUnavailable(INSIDE), 503),
    (ContentErased(accepted_task()), 409),
    (QuotaExceeded("queued", 1, 1), 429),
    (Conflict(INSIDE), 500),
    (RuntimeError(INSIDE), 500),
    (KeyError(INSIDE), 500),
    (RecursionError(INSIDE), 500),
    (MemoryError(INSIDE), 500),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, INSIDE), 500),
    (TimeoutError(INSIDE), 500),
]


class Broken:
    """A service that lets callers in; whatever it is asked for then raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.verifier = _Always()
        self.addresses = AddressLimits(None)
        self.calls = SubjectLimits(None, lambda _subject: None)  # type: ignore[arg-type]  # nothing is ever drawn
        self.doors = dict.fromkeys(Open, "open")
        self.max_body_bytes = 1000_000
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        raise self._error


class _Always:
    """Takes the one token of these tests, whatever the time."""

    longest_s = 60.0

    def __init__(self) -> None:
        self._verifier = verifier()

    def verify(self, token: bytes, _now: float) -> Any:
        return self._verifier.verify(token, NOW)


@pytest.mark.parametrize(("error", "status"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
async def test_an_error_at_any_route_is_a_problem(
    error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app()
    broken = app.state.service = Broken(error)
    token = forge({"alg": "HS256"}, {**CLAIMS, "roles": ["admin"]})
    # An error that is raised again would be logged by the server, once more.
    transport = httpx.ASGITransport(app)
    reached = 0
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        for method, path in sorted(POLICIES):
            if path in ("/livez", "/docs", "/redoc", "/openapi.json") or path.startswith("/docs/"):
                continue
            before = broken.asked
            caplog.clear()
            response = await client.request(
                method,
                path.replace("{task_id}", TASK_ID).replace("{execution_id}", TASK_ID).replace("{", "").replace("}", ""),
                json=body_of(method, path),
                headers={"Authorization": f"Bearer {token}"},
            )
            if broken.asked == before:
                # Refused for what it says, before the service was asked.
                assert 400 <= response.status_code < 500, (method, path, response.text)
                continue
            reached += 1
            assert response.status_code == status, (method, path, response.text)
            assert response.headers["content-type"] == PROBLEM
            assert {"type", "title", "status", "detail", "instance"} <= response.json().keys()
            assert "inside" not in response.text.lower().replace("on our side", "")
            assert "Traceback" not in response.text
            tracebacks = [getattr(line, "instance", None) for line in caplog.records if line.exc_info]
            assert tracebacks == ([response.json()["instance"]] if status == 500 else []), (method, path)
    assert reached > 20, "most routes were reached"


def body_of(method: str, path: str) -> Any:
    if method != "POST":
        return None
    bodies = {"/v1/tasks": message(), "/batch": {"messages": [message()]}, "/acknowledgements": {"sequence": 1}}
    bodies |= {"/revocations": {"subject": "mallory"}, "/retry": {}}
    return next((body for end, body in bodies.items() if path.endswith(end)), {})


def test_every_known_error_is_among_them() -> None:
    raised = {type(error) for error, _ in ERRORS}
    # Those with a task or a rate in them are raised by real services: tests/api/routers, tests/api/test_rate_limits.py.
    elsewhere = {"AlreadyOver", "KeyReused", "LeaseLost", "NoSuchExecution", "NotFailed", "NotYetSent"}
    elsewhere |= {"RateLimited", "TooManyStreams", "TooManyWaits"}
    missing = {known.__name__ for known in KNOWN if known not in raised} - elsewhere
    assert not missing, json.dumps(sorted(missing))
