"""How commands reach a service, and what they say where they cannot."""

import pytest

from app.cli import service as module
from app.cli.failures import Refused, Unreachable, Usage
from app.cli.service import Service, is_local, task_path
from tests.cli.scripted import Answer, ScriptedService
from tests.support.machine import free_port


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:8000", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:80", True),
        ("http://localhost.example.org", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example.org", False),
        ("http://user@[bad", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_machine(url: str, local: bool) -> None:
    assert is_local(url) is local


def test_whatever_is_typed_as_an_id_stays_one_part_of_the_path() -> None:
    assert task_path("../admin?x=1#y", "cancel") == "/v1/tasks/..%2Fadmin%3Fx%3D1%23y/cancel"


def test_the_token_goes_along(scripted: ScriptedService) -> None:
    scripted.answer(Answer(body={}))
    with Service(scripted.url + "/", "secret") as service:
        service.get("/v1/tasks", {"status": ["Failed", "Completed"], "label": []})
    [asked] = scripted.asked
    assert asked.path == "/v1/tasks?status=Failed&status=Completed"
    assert asked.headers["Authorization"] == "Bearer secret"


def test_https_to_a_service_without_tls_says_what_to_write(scripted: ScriptedService) -> None:
    with (
        Service(scripted.url.replace("http:", "https:"), None) as service,
        pytest.raises(Unreachable, match="write http:"),
    ):
        service.get("/v1/tasks")


def test_a_redirect_is_not_followed_with_the_token(scripted: ScriptedService) -> None:
    scripted.answer(Answer(302, b"", {"Location": "http://127.0.0.1:1/elsewhere"}))
    with Service(scripted.url, "secret") as service, pytest.raises(Refused, match="is this the right address"):
        service.get("/v1/tasks")
    assert len(scripted.asked) == 1


def test_a_problem_is_raised_with_its_document(scripted: ScriptedService) -> None:
    scripted.answer(Answer(503, {"title": "away"}, {"Retry-After": "9"}))
    with Service(scripted.url, None) as service, pytest.raises(Refused) as refused:
        service.get("/v1/tasks")
    assert (refused.value.status, refused.value.problem, refused.value.retry_after) == (503, {"title": "away"}, "9")


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b"[1]", b"\xff"])
def test_an_error_that_is_no_problem_document_is_still_a_sentence(scripted: ScriptedService, body: bytes) -> None:
    scripted.answer(Answer(502, body))
    with Service(scripted.url, None) as service, pytest.raises(Refused, match="right address"):
        service.get("/v1/tasks")


def test_nobody_there() -> None:
    with Service(f"http://127.0.0.1:{free_port()}", None) as service, pytest.raises(Unreachable, match="serve"):
        service.get("/v1/tasks")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "8000"])
def test_what_is_no_address(url: str) -> None:
    with Service(url, None) as service, pytest.raises((Usage, Unreachable)):
        service.get("/v1/tasks")


def test_a_proxy_is_not_asked_for_this_machine(scripted: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    scripted.answer(Answer(body={}))
    with Service(scripted.url, None) as service:
        assert service.get("/v1/tasks").json() == {}


def test_a_submission_whose_answer_was_lost_is_sent_again_as_it_was(
    scripted: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_PAUSE_S", 0)
    scripted.answer(Answer(drop=True), Answer(drop=True), Answer(202, {"accepted": True}))
    with Service(scripted.url, None) as service:
        assert service.submit(b'{"a":1}').json() == {"accepted": True}
    assert [asked.body for asked in scripted.asked] == [b'{"a":1}'] * 3


def test_a_submission_is_not_tried_forever(scripted: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUBMIT_PAUSE_S", 0)
    scripted.answer(Answer(drop=True))
    with Service(scripted.url, None) as service, pytest.raises(Unreachable):
        service.submit(b"{}")
    assert len(scripted.asked) == module.SUBMIT_TRIES


def test_a_refused_submission_is_not_sent_again(scripted: ScriptedService) -> None:
    scripted.answer(Answer(422, {"title": "no"}))
    with Service(scripted.url, None) as service, pytest.raises(Refused):
        service.submit(b"{}", validate_only=True)
    assert [asked.path for asked in scripted.asked] == ["/v1/tasks?validate_only=true"]
