import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.task_types.data_processing.workspace import workspace


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(temporary: Path) -> set[str]:
    return {path.name for root in temporary.iterdir() for path in root.iterdir()}


def test_it_is_this_users_alone_and_gone_afterwards(temporary: Path) -> None:
    with workspace() as path:
        (path / "spill").mkdir()
        (path / "spill" / "page").write_text("x")
        assert path.stat().st_mode & 0o777 == 0o700
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert left(temporary) == {"lock"}


def test_it_is_gone_after_a_failure_too(temporary: Path) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), workspace():
        raise RuntimeError("in the middle")
    assert left(temporary) == {"lock"}


def test_two_at_a_time_leave_each_other_alone() -> None:
    with workspace() as first:
        with workspace() as second:
            assert first != second
            assert first.is_dir()
        assert first.is_dir()


def test_what_a_killed_run_left_behind_is_removed_by_the_next(temporary: Path) -> None:
    program = (
        "import os, tempfile; tempfile.tempdir = {!r}\n"
        "from app.task_types.data_processing.workspace import workspace\n"
        "with workspace() as path:\n"
        "    (path / 'page').write_text('x'); os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program.format(str(temporary))], check=False, cwd=root, timeout=60)
    assert len(left(temporary)) == 2
    with workspace() as path:
        assert left(temporary) == {"lock", path.name}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_that_another_user_made_is_not_used(temporary: Path) -> None:
    root = temporary / f"task-executor-data-{os.getuid()}"
    root.mkdir(mode=0o700)
    os.chown(root, 12345, 12345)
    with pytest.raises(PermissionError, match="not this user's alone"), workspace():
        pass


def test_a_directory_that_others_can_enter_is_not_used(temporary: Path) -> None:
    root = temporary / f"task-executor-data-{os.getuid()}"
    root.mkdir()
    root.chmod(0o755)
    with pytest.raises(PermissionError, match="not this user's alone"), workspace():
        pass


def test_a_link_in_its_place_is_not_followed(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    elsewhere.chmod(0o700)
    (temporary / f"task-executor-data-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(PermissionError, match="not this user's alone"), workspace():
        pass
    assert list(elsewhere.iterdir()) == []
