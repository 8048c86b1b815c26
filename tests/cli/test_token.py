"""The tokens that `task-executor token` prints are the ones that the service takes."""

import stat
import time
from pathlib import Path

import pytest

from app.protocol.roles import Permission
from app.security.own_key import FILE_NAME
from tests.cli.conftest import Run
from tests.security.verifying import token_verifier


def test_a_token_is_all_that_is_printed(run: Run, tmp_path: Path) -> None:
    ended = run("token", "--subject", "alice", "--role", "admin", "--role", "executor", "--expires-in", "30m")
    assert (ended.code, ended.err) == (0, "")
    principal = token_verifier(tmp_path / "data").verify(ended.out.strip(), time.time())
    assert (principal.subject, principal.admin) == ("alice", True)
    assert principal.permissions == frozenset(Permission)
    assert 0 < principal.expires_at - time.time() <= 1800
    assert stat.S_IMODE((tmp_path / "data" / FILE_NAME).stat().st_mode) == 0o600


def test_the_default_is_a_submitter(run: Run, tmp_path: Path) -> None:
    principal = token_verifier(tmp_path / "data").verify(run("token").out.strip(), time.time())
    assert (principal.admin, principal.may(Permission.EXECUTE_TASK)) == (False, False)
    assert principal.may(Permission.SUBMIT_TASK)


def test_issuer_and_audience_are_the_services(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_JWT_ISSUER", "here")
    monkeypatch.setenv("TASK_EXECUTOR_JWT_AUDIENCE", "there")
    verifier = token_verifier(tmp_path / "data", issuer="here", audience="there")
    assert verifier.verify(run("token", "--subject", "bob").out.strip(), time.time()).subject == "bob"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--expires-in", "2d"], "86400"),
        (["--expires-in", "soon"], "no span"),
        (["--subject", ""], "subject"),
        (["--subject", "a\nb"], "subject"),
        (["--role", "king"], "king"),
    ],
)
def test_what_the_service_would_not_take_is_not_made(run: Run, arguments: list[str], hint: str) -> None:
    ended = run("token", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert hint in ended.err


@pytest.mark.parametrize(
    ("name", "value"), [("SECRET", "0123456789abcdef0123456789abcdef"), ("KEYS_FILE", "/nowhere/keys.json")]
)
def test_an_issuer_is_named_where_one_is_configured(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TASK_EXECUTOR_JWT_{name}", value)
    monkeypatch.setenv("TASK_EXECUTOR_JWT_ISSUER", "https://id.example.org")
    ended = run("token")
    assert (ended.code, ended.out) == (1, "")
    assert "https://id.example.org" in ended.err
    assert f"TASK_EXECUTOR_JWT_{name}" in ended.err


def test_a_key_that_others_can_read_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("token").code == 0
    (tmp_path / "data" / FILE_NAME).chmod(0o644)
    ended = run("token")
    assert ended.code == 1
    assert "chmod 600" in ended.err
