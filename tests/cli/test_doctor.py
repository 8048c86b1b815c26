"""The doctor finds what is wrong, and says how to mend it."""

import os
from pathlib import Path

import pytest

from app.cli import doctor
from app.cli.startup import listen
from app.security.own_key import FILE_NAME, own_signing_key
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


def test_a_fresh_machine_is_well(run: Run) -> None:
    ended = run("doctor")
    assert ended.code == 0
    assert set(verdicts(ended.out).values()) <= {"ok", "warn"}
    assert {"settings", "task types", "data directory", "keys", "port", "database"} <= verdicts(ended.out).keys()


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
    monkeypatch.setattr(doctor, "MAX_CLOCK_DIFFERENCE_S", -1.0)
    assert verdicts(run("doctor").out)["clock"] == "warn"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_this_user_cannot_write(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    assert verdicts(run("doctor").out)["data directory"] == "wrong"
