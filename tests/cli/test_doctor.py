"""The doctor finds what is wrong, and says how to mend it."""

import os
from pathlib import Path

import pytest

from app.cli import database_checks, doctor
from app.cli.startup import listen
from app.security.envelopes.key_ring import KeyRing
from app.security.own_key import FILE_NAME, own_signing_key
from app.security.sealing_keys import SealingKeys
from tests.cli.conftest import Run
from tests.support.machine import free_port


@pytest.fixture(autouse=True)
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port that nobody uses."""
    number = free_port()
    monkeypatch.setenv("TASK_EXECUTOR_PORT", str(number))
    return number


def verdicts(out: str) -> dict[str, str]:
    """Subject to verdict."""
    rows = [line.split(maxsplit=1) for line in out.splitlines()]
    return {row[1].split("  ")[0].strip(): row[0] for row in rows}


def test_a_fresh_machine_is_well(run: Run, tmp_path: Path) -> None:
    ended = run("doctor")
    assert ended.code == 0
    assert set(verdicts(ended.out).values()) <= {"ok", "warn"}
    looked_at = {"encryption keys", "sealing keys", "audit"}
    looked_at |= {"settings", "task types", "data directory", "keys", "port", "database"}
    assert looked_at <= verdicts(ended.out).keys()
    assert not (tmp_path / "data").exists(), "it leaves no files behind"


def test_a_real_database_is_looked_at_closely(run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    ended = run("doctor")
    found = verdicts(ended.out)
    assert {name: found[name] for name in ("database", "clock", "schema")} == dict.fromkeys(
        ("database", "clock", "schema"), "ok"
    )
    assert "durability" in found


def test_a_database_without_the_schema(run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["schema"]) == (1, "wrong")
    assert "task-executor migrate" in ended.out


def test_a_database_that_is_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://someone@127.0.0.1:{free_port()}/tasks")
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["database"]) == (1, "wrong")


def test_a_wrong_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_LEASE_S", "soon")
    ended = run("doctor")
    assert ended.code == 1
    assert "TASK_EXECUTOR_LEASE_S" in ended.err


def test_a_key_that_others_can_read(run: Run, tmp_path: Path) -> None:
    own_signing_key(tmp_path / "data")
    (tmp_path / "data" / FILE_NAME).chmod(0o640)
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["keys"]) == (1, "wrong")
    assert "chmod 600" in ended.out


def test_encryption_keys_that_others_can_read_or_put_there(run: Run, tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "data" / "encryption-keys", 60)
    ring.load()
    assert verdicts(run("doctor").out)["encryption keys"] == "ok"
    ring.directory.chmod(0o777)
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["encryption keys"]) == (1, "wrong")
    assert "chmod o-w" in ended.out
    ring.directory.chmod(0o700)
    next(ring.directory.iterdir()).chmod(0o644)
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["encryption keys"]) == (1, "wrong")
    assert "chmod 600" in ended.out


def test_sealing_keys_that_are_none(run: Run, tmp_path: Path) -> None:
    keys = SealingKeys(tmp_path / "data" / "sealing-keys")
    assert verdicts(run("doctor").out)["sealing keys"] == "ok"
    keys.path.write_text("broken")
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["sealing keys"]) == (1, "wrong")
    assert "openssl rand" in ended.out


def test_the_directory_of_signed_heads(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "data" / "audit"
    directory.mkdir(parents=True)
    own_signing_key(tmp_path / "data")
    assert verdicts(run("doctor").out)["audit"] == "ok"
    (directory / "heads-2026-11-26.txt").write_text("head eyJhbGciOiJub25lIn0.e30.\n")
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["audit"]) == (0, "warn")
    assert "a new chain will begin" in ended.out
    directory.chmod(0o777)
    assert verdicts(run("doctor").out)["audit"] == "wrong"
    monkeypatch.setenv("TASK_EXECUTOR_AUDIT_HEAD_S", "0")
    assert verdicts(run("doctor").out)["audit"] == "warn"


def test_an_issuer_is_asked_and_nothing_else_is_made(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_JWT_SECRET", "0123456789" * 4)
    assert verdicts(run("doctor").out)["keys"] == "ok"
    assert not (tmp_path / "data").exists()


def test_a_directory_that_anyone_can_write(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["data directory"]) == (1, "wrong")
    assert "chmod o-w" in ended.out


def test_a_directory_that_is_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert verdicts(run("doctor").out)["data directory"] == "wrong"


def test_a_port_in_use_may_be_the_services_own(run: Run, port: int) -> None:
    with listen("127.0.0.1", port):
        ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["port"]) == (0, "warn")


def test_a_module_of_task_types_that_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_TASK_TYPES", "no.such.module")
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["task types"]) == (1, "wrong")
    assert "no.such.module" in ended.out


def test_a_capacity_that_cannot_be_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_CAPACITY", '{"cpu": -1}')
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["capacity"]) == (1, "wrong")
    assert "TASK_EXECUTOR_CAPACITY" in ended.out


@pytest.mark.parametrize("url", ["bogus", "mysql://h/d", "postgresql://h:port/d", "postgresql://h:99999/d"])
def test_a_database_url_that_is_none(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    ended = run("doctor")
    assert ended.code == 1
    assert "DATABASE_URL" in ended.err


def test_a_disk_that_is_nearly_full(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 2**70)
    ended = run("doctor")
    assert (ended.code, verdicts(ended.out)["disk"]) == (0, "warn")


def test_a_clock_that_differs(run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(database_checks, "MAX_CLOCK_DIFFERENCE_S", -1.0)
    assert verdicts(run("doctor").out)["clock"] == "warn"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_this_user_cannot_write(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    assert verdicts(run("doctor").out)["data directory"] == "wrong"


@pytest.mark.parametrize(
    ("name", "verdict"), [("no-such-user", "wrong"), (None, "warn" if os.geteuid() == 0 else "ok")]
)
def test_the_user_that_tasks_run_as(run: Run, monkeypatch: pytest.MonkeyPatch, name: str | None, verdict: str) -> None:
    if name is not None:
        monkeypatch.setenv("TASK_EXECUTOR_CHILD_USER", name)
    ended = run("doctor")
    assert verdicts(ended.out)["child user"] == verdict
    assert (name or "child user") in ended.out
