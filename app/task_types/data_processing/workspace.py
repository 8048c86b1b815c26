"""A private directory for one run: links to the source's files, rows that came inline, and what DuckDB spills.

It is removed at the end. A run that was killed cannot remove its own, so the next one does: a directory
whose lock nobody holds belongs to a process that is gone.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "lock"


@contextmanager
def workspace() -> Iterator[Path]:
    """A fresh directory that only this user can enter. Raises OSError where the temporary directory is not usable."""
    root = _root()
    with (root / _LOCK).open("w") as gate:
        # Made and locked behind a gate, so that nobody takes a directory not locked yet for an abandoned one.
        fcntl.flock(gate, fcntl.LOCK_EX)
        _sweep(root)
        path = Path(tempfile.mkdtemp(dir=root))
        lock = (path / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        lock.close()


def _root() -> Path:
    root = Path(tempfile.gettempdir()) / f"task-executor-data-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    status = root.lstat()
    if root.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{root} exists and is not this user's alone")
    return root


def _sweep(root: Path) -> None:
    for path in root.iterdir():
        if path.name != _LOCK and _abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(path: Path) -> bool:
    try:
        with (path / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
