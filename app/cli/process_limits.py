"""What the service's process is allowed by the system, set once before it serves."""

import resource

from app.execution.backends import kernel

WANTED_FILES = 65_536
OTHER_FILES = 256
"""Descriptors for what is not a client's connection: the database, children, files."""


def protect_memory() -> None:
    """Keeps what is in memory (keys, tokens, messages) out of core files and from other processes of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kernel.close_memory()


def connections_allowed(wanted: int) -> int:
    """How many connections there may be, after more files have been asked for where they are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + OTHER_FILES:
        most = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
        soft = max(soft, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - OTHER_FILES))
