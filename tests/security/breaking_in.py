"""A kind of task that tries to get at its service, as hostile code in a child would."""

import ctypes
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from app.task_types import Resources, TaskContext, task_type

PTRACE_SEIZE = 0x4206
"""As PTRACE_ATTACH, but where it succeeds the process is not stopped (ptrace(2))."""


class Target(BaseModel):
    """The service's data directory and process."""

    data_dir: Path
    service: int


@task_type("break_in", parameters=Target, resources=Resources(cpu=0.1, memory_mb=128), max_attempts=1, timeout_s=60)
def break_in(parameters: Target, _context: TaskContext) -> dict[str, Any]:
    """Who it is, what became of each attempt, and a process that it has left behind in a session of its own."""
    attempts = {**_to_be_root(), **_on_files(parameters.data_dir)}
    for name, process in (("service", parameters.service), ("guardian", os.getppid())):
        attempts |= _on_process(name, process)
    return {
        "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
        "status": Path("/proc/self/status").read_text(),
        "home": os.environ["HOME"],
        "process": os.getpid(),
        "attempts": {name: _outcome(attempt) for name, attempt in attempts.items()},
        "stray": _stray(),
    }


Attempts = dict[str, Callable[[], Any]]


def _to_be_root() -> Attempts:
    return {
        "be root": partial(os.setuid, 0),
        "be root for a while": partial(os.seteuid, 0),
        "be root by all ids": partial(os.setresuid, 0, 0, 0),
        "be in root's group": partial(os.setgid, 0),
        "have no groups": partial(os.setgroups, []),
    }


def _on_files(data: Path) -> Attempts:
    return {
        "read the signing key": (data / "signing-key.pem").read_bytes,
        "read the sealing keys": (data / "sealing-keys").read_bytes,
        "read an encryption key": lambda: next((data / "encryption-keys").glob("*.pem")).read_bytes(),
        "write beside the keys": partial((data / "mine").write_text, ""),
        "list the database": partial(os.listdir, data / "postgres" / "cluster"),
        "open the database": partial(_connect, data / "postgres" / "run" / ".s.PGSQL.5432"),
    }


def _on_process(name: str, process: int) -> Attempts:
    seen = {f"read {what} of the {name}": partial(_open, process, what) for what in ("environ", "mem", "maps", "fd/0")}
    return {
        **seen,
        f"write to the memory of the {name}": partial(_open, process, "mem", "r+b"),
        f"stop the {name}": partial(os.kill, process, 0),
        f"trace the {name}": partial(_attach, process),
    }


def _outcome(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except PermissionError:
        return "refused"
    except Exception as error:  # noqa: BLE001 - whatever else it is, it is no refusal
        return f"failed: {error!r}"
    return "done"


def _open(process: int, what: str, mode: str = "rb") -> None:
    with Path(f"/proc/{process}/{what}").open(mode):
        pass


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


def _attach(process: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_SEIZE, process, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _stray() -> int:
    """The id of a grandchild that nobody waits for."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if (stray := os.fork()) == 0:
            os.close(writer)
            time.sleep(600)
        os.write(writer, str(stray).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return int(pipe.read())
