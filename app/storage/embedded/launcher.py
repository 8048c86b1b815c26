"""The program between the service and `postgres`: ties the two lives together, sheds root, then becomes `postgres`.

Run as `python -I -S launcher.py PARENT IDENTITY PROGRAM [ARGUMENT...]`, standard library only. IDENTITY is

- `same`: the account of the service, which is an ordinary one;
- `namespace:UID:GID`: a user namespace in which the service's own account (root, or one without a name) bears this
  number. To the rest of the machine the process is still the service's account, but it has no capability left; so
  it reaches what the service reaches, owns what the service owns, and Postgres does not meet uid 0.
- `account:UID:GID`: this account, for machines without user namespaces (most containers). Of root's powers it
  keeps CAP_DAC_OVERRIDE alone, so that it can reach its programs and its data below folders such as /root, whose
  permissions stay as they are.

It is a program, not a `preexec_fn`: that would run Python code in a fork of a process with threads.
Exit status 126 where the identity is not to be had, with one line on stderr.
"""

import ctypes
import os
import signal
import struct
import sys

# <linux/prctl.h>, <linux/sched.h>, <linux/capability.h>
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CLONE_NEWUSER = 0x10000000
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _enter_namespace(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    own_uid, own_gid = os.geteuid(), os.getegid()
    _checked(libc.unshare(CLONE_NEWUSER), "unshare")
    # A group map is refused while setgroups is allowed (user_namespaces(7)).
    for name, content in (("setgroups", "deny"), ("gid_map", f"{gid} {own_gid} 1"), ("uid_map", f"{uid} {own_uid} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - pathlib would double this program's start-up
            file.write(content)


def _become_account(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    _checked(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS")
    # access(2), by which initdb looks for `postgres`, disregards the capability of any account but root without this.
    # Where it is not allowed, it is needed only for programs below folders that others may not enter.
    libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setresuid(uid, uid, uid)
    bit = 1 << CAP_DAC_OVERRIDE
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable; the second three are the upper 32 capabilities
    _checked(libc.capset(header, struct.pack("=6I", bit, bit, bit, 0, 0, 0)), "capset")
    _checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "PR_CAP_AMBIENT")


def _assume(identity: str) -> None:
    kind, _, numbers = identity.partition(":")
    if kind == "same":
        return
    uid, gid = (int(number) for number in numbers.split(":"))
    libc = ctypes.CDLL(None, use_errno=True)
    {"namespace": _enter_namespace, "account": _become_account}[kind](libc, uid, gid)


def _die_with(parent: int) -> None:
    """Has the kernel send SIGINT, Postgres's fast shutdown, when the thread that started us ends.

    After the change of account, which clears it. Elsewhere than on Linux there is no such thing: there a killed
    service leaves its server behind until the next start, which ends it.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    _checked(libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0), "PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        # It died before we could ask to be told.
        raise SystemExit(126)


def main(arguments: list[str]) -> None:
    """Becomes the program, or exits with 126."""
    parent, identity, *program = arguments
    try:
        os.umask(0o077)
        _assume(identity)
        _die_with(int(parent))
        os.execv(program[0], program)  # noqa: S606 - to become the program is what this one is for
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(126) from None


if __name__ == "__main__":
    main(sys.argv[1:])
