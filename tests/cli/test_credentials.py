"""Who a command speaks as."""

import time
from pathlib import Path

import pytest

from app.cli import credentials
from app.cli.credentials import connect
from app.cli.own_token import user_name
from app.security.own_key import FILE_NAME, own_signing_key
from tests.cli.scripted import Answer, ScriptedService
from tests.security.verifying import token_verifier


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Where clean_environment puts the service's data."""
    return tmp_path / "data"


def sent_token(scripted: ScriptedService, token: str | None = None) -> str | None:
    scripted.answer(Answer(body={}))
    with connect(scripted.url, token) as service:
        service.get("/v1/tasks")
    value = scripted.asked[-1].headers.get("Authorization")
    return value.removeprefix("Bearer ") if value is not None else None


def test_the_token_given_is_the_one_sent(scripted: ScriptedService, data_dir: Path) -> None:
    own_signing_key(data_dir)
    assert sent_token(scripted, "given") == "given"


def test_beside_the_services_own_key_the_user_needs_no_token(scripted: ScriptedService, data_dir: Path) -> None:
    own_signing_key(data_dir)
    token = sent_token(scripted)
    assert token is not None
    principal = token_verifier(data_dir).verify(token, time.time())
    assert (principal.subject, principal.admin) == (user_name(), False)


def test_a_client_makes_no_key(scripted: ScriptedService, data_dir: Path) -> None:
    assert sent_token(scripted) is None
    assert not data_dir.exists()


def test_where_an_issuer_is_configured_nothing_is_made_up(
    scripted: ScriptedService, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_signing_key(data_dir)
    monkeypatch.setenv("TASK_EXECUTOR_JWT_SECRET", "0123456789abcdef0123456789abcdef")
    assert sent_token(scripted) is None


def test_a_key_that_cannot_be_used_is_the_services_matter(scripted: ScriptedService, data_dir: Path) -> None:
    own_signing_key(data_dir)
    (data_dir / FILE_NAME).chmod(0o644)
    assert sent_token(scripted) is None


def test_a_wrong_setting_of_the_service_does_not_stop_a_client(
    scripted: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_PORT", "many")
    assert sent_token(scripted) is None


def test_another_machine_gets_no_token_of_ours(
    scripted: ScriptedService, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_signing_key(data_dir)
    monkeypatch.setattr(credentials, "is_local", lambda url: url != scripted.url)
    assert sent_token(scripted) is None
