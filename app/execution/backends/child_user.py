"""The user that handlers run as, where it is another than the service's own. Only root can give its rights away.

Groups and ids change between fork and exec (guardian.py), so that nothing of a child ever runs with the service's
rights. A process that has left root in this way has no way back, and `no_new_privileges` (kernel.py) closes the one
over programs that bring their owner's rights along.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHECK_TIMEOUT_S = 60
CHECK = """
import importlib, os, sys
os.chdir(os.getcwd())
for module in sys.argv[1:]:
    importlib.import_module(module)
"""
"""What a child does before its first attempt: it goes back to its directory and imports its modules."""

CHILD_MODULE = "app.execution.backends.child"


class ChildUserError(Exception):
    """Handlers cannot run as the user that is named; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class ChildUser:
    """An account of this machine. `groups` are all of its groups, as at its login."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def as_popen(self) -> dict[str, Any]:
        """What tells `subprocess.Popen` to start a program as this user: setgroups, setregid, setreuid, then exec."""
        return {"user": self.uid, "group": self.gid, "extra_groups": self.groups}

    def seen_in(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment as this user has it."""
        return {**environment, "HOME": self.home, "USER": self.name, "LOGNAME": self.name}

    def check(self, environment: Mapping[str, str], modules: Sequence[str]) -> None:
        """Tries once whether children can start and import `modules`. Takes as long. Raises ChildUserError."""
        command = [sys.executable, "-P", "-c", CHECK, CHILD_MODULE, *modules]
        try:
            ended = subprocess.run(  # noqa: S603 - the command is our own
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=CHECK_TIMEOUT_S, check=False, **self.as_popen(),
            )  # fmt: skip
        except OSError as error:
            raise ChildUserError(self._cannot(f"{sys.executable} is closed to it ({error.strerror})")) from None
        except subprocess.TimeoutExpired:
            raise ChildUserError(self._cannot(f"its modules are not imported within {CHECK_TIMEOUT_S} s")) from None
        if ended.returncode != 0:
            said = ended.stderr.strip().splitlines() or [f"the program ended with {ended.returncode}"]
            raise ChildUserError(self._cannot(said[-1]))

    def _cannot(self, why: str) -> str:
        return (
            f"no task can run as {self.name!r}: {why}. That user has to reach Python, the service's code, the modules "
            "of task types and the working directory: install them outside of a home that is closed to others"
        )


def find(name: str) -> ChildUser:
    """The account of that name. Raises ChildUserError."""
    if os.geteuid() != 0:
        raise ChildUserError(f"only a service that runs as root can run tasks as {name!r}: leave it out")
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise ChildUserError(f"this machine has no user {name!r}") from None
    if account.pw_uid == 0:
        raise ChildUserError(f"{name!r} is root, as the service is: name a user that may do less")
    groups = tuple(os.getgrouplist(name, account.pw_gid))
    return ChildUser(name, account.pw_uid, account.pw_gid, groups, account.pw_dir)
