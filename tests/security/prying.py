"""A kind of task that looks for its service's secrets, as hostile code in a child would."""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from app.task_types import Resources, TaskContext, task_type


class Nothing(BaseModel):
    """No parameters."""


@task_type("pry", parameters=Nothing, resources=Resources(cpu=0.1, memory_mb=128), max_attempts=1, timeout_s=60)
def pry(_parameters: Nothing, _context: TaskContext) -> dict[str, Any]:
    """What can be seen: the own environment, open files, and what the processes up to the service show."""
    found: dict[str, Any] = {"environment": dict(os.environ), "files": _open_files(), "above": {}}
    process = os.getppid()
    while process > 1:
        name = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\x00", b" ").decode(errors="replace")
        found["above"][name] = {what: _try(process, what) for what in ("environ", "mem", "maps", "fd/0")}
        status = Path(f"/proc/{process}/status").read_text()
        process = int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])
        if "serve" in name:
            break
    return found


def _open_files() -> dict[str, str]:
    return {entry.name: os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}  # noqa: PTH115 - pathlib reads it as a path


def _try(process: int, what: str) -> str:
    try:
        with Path(f"/proc/{process}/{what}").open("rb") as file:
            return "opens" if what == "mem" else file.read(100_000).decode(errors="replace")
    except OSError as error:
        return f"refused: {type(error).__name__}"
