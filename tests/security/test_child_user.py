"""Handlers as another user: the service's files, database and processes are closed to them, and nothing leads back."""

import contextlib
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.bootstrap.execution import process_backend
from app.execution.backends.child_user import ChildUserError, find
from app.protocol.roles import Role
from app.settings import Settings
from app.task_types.registry import Registry
from tests.api.caller import PROTOCOL_EXAMPLE, Caller, Callers, Json, details, message
from tests.support import opened
from tests.support.service import ROOT, Service

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run tasks as another user")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that all can enter. What is below pytest's own is out of reach, whatever its mode."""
    folder = Path(tempfile.mkdtemp(prefix="child-user-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def service_in(folder: Path, *before: str, **settings: str) -> Iterator[Service]:
    """A service with a Postgres of its own, whose program all can reach."""
    words = [*opened.words(ROOT, Path(sys.prefix), Path(sys.base_prefix)), *before]
    made = Service(folder, None, {"task_types": "tests.security.breaking_in", "drain_s": "1", **settings}, before=words)
    try:
        yield made.start()
    finally:
        made.close()


def tried_in(service: Service, caller: Caller) -> Json:
    """What became of each attempt of a handler to get at its service."""
    target = {"data_dir": service.environment["TASK_EXECUTOR_DATA_DIR"], "service": service.process_id}
    return result_of(caller, message("break_in", target))


@as_root
def test_a_handler_cannot_get_at_its_service(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    # With words before the command it is started from scratch, whether all can reach it or not.
    with (
        service_in(open_folder, "env", child_user="nobody") as service,
        contextlib.closing(Callers(service)) as callers,
    ):
        alice = callers.make(Role.SUBMITTER)
        tried = tried_in(service, alice)
        assert tried["attempts"] == dict.fromkeys(tried["attempts"], "refused")
        assert tried["ids"][:2] == [[nobody.pw_uid] * 3, [nobody.pw_gid] * 3]
        assert 0 not in tried["ids"][2]
        assert tried["home"] == nobody.pw_dir
        assert "\nNoNewPrivs:\t1\n" in tried["status"]
        assert "\nCapEff:\t0000000000000000\n" in tried["status"]
        assert not Path(f"/proc/{tried['stray']}").exists(), "what it left behind is dead before it is over"
        specification = PROTOCOL_EXAMPLE["body"]["task_specification"]
        assert result_of(alice, message(specification["type"], specification["parameters"]))["input_rows"] == 1200


@as_root
@pytest.mark.timeout(180)
def test_what_is_in_memory_is_closed_to_a_handler_of_the_same_user(open_folder: Path) -> None:
    # Not as root, whose children are kept out by what they have given up.
    nobody = pwd.getpwnam("nobody")
    os.chown(open_folder, nobody.pw_uid, nobody.pw_gid)
    before = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    with service_in(open_folder, *before) as service, contextlib.closing(Callers(service)) as callers:
        tried = tried_in(service, callers.make(Role.SUBMITTER))["attempts"]
    memory = {
        name: outcome
        for name, outcome in tried.items()
        if name.startswith(("read environ", "read m", "read fd", "write to the", "trace"))
    }
    assert len(memory) == 12
    assert memory == dict.fromkeys(memory, "refused")
    assert tried["read the signing key"] == "done", "of the same user, as the documentation says"


def result_of(caller: Caller, content: Json) -> Json:
    status = caller.finished(caller.submit(content))
    assert status["body"]["status"] == "Completed", details(status)["error"]
    result: Json = details(status)["result"]
    return result


@as_root
@pytest.mark.parametrize(
    ("name", "why"), [("no-such-user", "this machine has no user 'no-such-user'"), ("root", "'root' is root")]
)
def test_a_user_that_will_not_do_is_named(name: str, why: str) -> None:
    with pytest.raises(ChildUserError, match=f"^{why}"):
        find(name)


def test_only_root_can_run_tasks_as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ChildUserError, match="only a service that runs as root"):
        find("nobody")


@as_root
@pytest.mark.parametrize(
    ("mode", "why"), [(0o700, r"program is closed to it \(Permission denied\)"), (0o755, "PermissionError: a module")]
)
def test_what_the_user_cannot_reach_is_named(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, mode: int, why: str
) -> None:
    program = open_folder / "program"
    program.write_text("#!/bin/sh\necho 'PermissionError: a module' >&2\nexit 1\n")
    program.chmod(mode)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ChildUserError, match=f"^no task can run as 'nobody': .*{why}"):
        find("nobody").check({}, ["a_module"])


@as_root
@pytest.mark.parametrize("owned", [".", "postgres/cluster"])
def test_a_user_that_owns_what_it_is_to_be_kept_from_will_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owned: str
) -> None:
    (tmp_path / "postgres" / "cluster").mkdir(parents=True)
    os.chown(tmp_path / owned, pwd.getpwnam("nobody").pw_uid, -1)
    monkeypatch.setenv("TASK_EXECUTOR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TASK_EXECUTOR_CHILD_USER", "nobody")
    with pytest.raises(ChildUserError, match=r"owns .* or the Postgres in it"):
        process_backend(Settings(), Registry())
