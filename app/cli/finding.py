"""What one check of the doctor's found, and where something may be written."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `text` says it, with the fix where there is something to mend."""

    subject: str
    verdict: Literal["ok", "warn", "wrong"]
    text: str


def directory_fault(directory: Path, variable: str) -> str | None:
    """Why a directory is not fit to be written by this user and nobody else, with the fix.

    One that is not there yet is judged by where it will be made.
    """
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written: give it to this user, or set {variable}"
    if directory.exists() and directory.stat().st_mode & stat.S_IWOTH:
        return f"anyone can write to {directory}: run `chmod o-w {directory}`"
    return None
