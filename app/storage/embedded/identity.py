"""Under which account the embedded server runs. Postgres refuses to be root, and needs an account with a name."""

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.storage.embedded.errors import EmbeddedPostgresError

LAUNCHER = Path(__file__).with_name("launcher.py")
# Existing system accounts are used and none is made: a service must not change the machine's accounts.
ACCOUNTS = ("postgres", "nobody", "daemon")
PROBE_TIMEOUT_S = 10


@dataclass(frozen=True)
class Identity:
    """How the launcher has to start `postgres`.

    `uid` and `gid` are those of the server as it sees itself. `client` is the name by which the server knows the
    service that connects to it (peer authentication). `owner` is the account that must own the files.
    """

    kind: Literal["same", "namespace", "account"]
    uid: int
    gid: int
    client: str
    owner: tuple[int, int]

    def command(self, program: Path, *arguments: str) -> list[str]:
        """The command line that starts the program under this identity, tied to the life of this process."""
        word = "same" if self.kind == "same" else f"{self.kind}:{self.uid}:{self.gid}"
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), word]
        return [*launcher, str(program), *arguments]


def environment() -> dict[str, str]:
    """What Postgres's programs see of the service's environment: nothing that holds a secret or changes a setting."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **kept}


def choose(probe: Path) -> Identity:
    """The first identity that works on this machine; `probe` is the `postgres` program, asked for its version.

    Raises EmbeddedPostgresError where there is none.
    """
    own = _name_of(os.geteuid())
    if os.geteuid() != 0 and own is not None:
        return Identity("same", os.geteuid(), os.getegid(), own, (os.geteuid(), os.getegid()))
    for candidate in _candidates():
        if _works(candidate, probe):
            return candidate
    raise EmbeddedPostgresError(
        "The embedded Postgres cannot run as this account (Postgres refuses root) and found no other that works here: "
        "start the service as an ordinary user, or set DATABASE_URL."
    )


def _candidates() -> list[Identity]:
    accounts = [account for name in ACCOUNTS if (account := _account(name)) is not None]
    own = (os.geteuid(), os.getegid())
    found = [Identity("namespace", a.pw_uid, a.pw_gid, a.pw_name, own) for a in accounts]
    if os.geteuid() == 0:
        root = _name_of(0) or "root"
        found += [Identity("account", a.pw_uid, a.pw_gid, root, (a.pw_uid, a.pw_gid)) for a in accounts]
    return found


def _works(identity: Identity, probe: Path) -> bool:
    command = identity.command(probe, "--version")
    try:
        result = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False, env=environment())  # noqa: S603 - our own program and arguments
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _name_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
