"""What can go wrong with the embedded server. Each message is one sentence for the person who starts the service.

EmbeddedPostgresError
└── DataDirectoryInUse   another service runs on the same data directory
"""

import errno
from pathlib import Path


class EmbeddedPostgresError(Exception):
    """The embedded server cannot be started or stopped."""


class DataDirectoryInUse(EmbeddedPostgresError):
    """One data directory, one server: another process holds it. `holder` is its process id, None where unknown."""

    def __init__(self, data_dir: Path, holder: int | None) -> None:
        self.holder = holder
        who = f"process {holder}" if holder else "another process"
        super().__init__(
            f"The data directory {data_dir} is in use by {who}: stop that service first, or set another data directory."
        )


def explain_os_error(error: OSError, data_dir: Path) -> EmbeddedPostgresError:
    """The sentence for a failed system call on the data directory."""
    sentences = {
        errno.ENOSPC: f"The disk that holds the data directory {data_dir} is full.",
        errno.EDQUOT: f"The disk quota for the data directory {data_dir} is used up.",
        errno.EROFS: f"The data directory {data_dir} is on a read-only file system.",
        errno.EACCES: f"The data directory {data_dir} may not be written by this account.",
        errno.EPERM: f"The data directory {data_dir} may not be written by this account.",
        errno.ENOTDIR: f"The data directory {data_dir} is not a directory.",
        errno.EEXIST: f"The data directory {data_dir} is not a directory.",
    }
    known = sentences.get(error.errno or 0)
    return EmbeddedPostgresError(known or f"The data directory {data_dir} cannot be used: {error}.")


def explain_output(output: str, doing: str, data_dir: Path) -> EmbeddedPostgresError:
    """The sentence for a program that ended in an error: its own last complaint, or the system's behind it."""
    for number, words in (
        (errno.ENOSPC, "No space left on device"),
        (errno.EDQUOT, "Disk quota exceeded"),
        (errno.EROFS, "Read-only file system"),
    ):
        if words in output:
            return explain_os_error(OSError(number, words), data_dir)
    complaints = [line for line in output.splitlines() if "FATAL" in line or "PANIC" in line or "error:" in line]
    lines = complaints or output.splitlines() or ["it said nothing"]
    return EmbeddedPostgresError(f"{doing} failed: {lines[-1].strip()}")
