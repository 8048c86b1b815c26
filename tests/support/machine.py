"""What the machine has. A test that needs more is skipped with a reason that names what is missing."""

import os
import random
import shutil
import socket

import pytest


def need_program(*names: str) -> str:
    """The path of the first of these programs that there is; skips the test where there is none."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"needs the program {' or '.join(names)}, which is not installed")


def need_root() -> None:
    """Skips the test for an ordinary user."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to start programs as another user")


def free_port() -> int:
    """A TCP port that nobody has.

    Below the range that the kernel gives to clients (32768 and up), so that no connection takes it meanwhile; at
    random, so that workers side by side do not try the same one.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
