"""Runs a command that every user of the machine can reach, where the program lies in a home closed to others (root's).

`python opened.py HOME TREE… -- COMMAND…`: in mounts of its own, which nobody else sees, HOME is an open directory with
these trees in it and nothing else. Only root can.
"""

import ctypes
import os
import stat
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000


def words(*trees: Path) -> list[str]:
    """What to put before a command, so that all can reach these trees; nothing where they can anyway."""
    closed = {path for tree in trees for path in (tree, *tree.parents) if not path.stat().st_mode & stat.S_IXOTH}
    if not closed:
        return []
    home = min(closed, key=lambda path: len(path.parts))
    inside = [str(tree) for tree in dict.fromkeys(trees) if tree.is_relative_to(home)]
    return [sys.executable, __file__, str(home), *inside, "--"]


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    """The program."""
    end = sys.argv.index("--")
    home, trees, command = sys.argv[1], sys.argv[2:end], sys.argv[end + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(CLONE_NEWNS))
    _check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    # Held open, since their paths are hidden in a moment.
    held = [os.open(tree, os.O_PATH) for tree in trees]
    here = os.open(".", os.O_PATH)
    _check(libc.mount(b"none", home.encode(), b"tmpfs", 0, b"mode=0755"))
    for tree, descriptor in zip(trees, held, strict=True):
        Path(tree).mkdir(parents=True, exist_ok=True)
        _check(libc.mount(f"/proc/self/fd/{descriptor}".encode(), tree.encode(), None, MS_BIND | MS_REC, None))
    # By its path: the descriptor leads to the hidden one.
    os.chdir(Path(f"/proc/self/fd/{here}").readlink())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
