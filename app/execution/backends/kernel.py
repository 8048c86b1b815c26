"""What the guardian and the children ask of the Linux kernel: who their relatives are, and who outlives whom.

The standard library only, since the guardian imports nothing else.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
_PR_CAPBSET_DROP = 24
_PRYING = (16, 17, 19, 21, 38, 39)
"""CAP_SYS_MODULE, _SYS_RAWIO, _SYS_PTRACE, _SYS_ADMIN, _PERFMON and _BPF (capabilities(7))."""

_CAPABILITY_VERSION = 0x20080522


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) failed")


def signalled_when_parent_dies(number: signal.Signals, parent: int) -> None:
    """Has the kernel send this process a signal when its parent dies, and sends it now where that is too late.

    The kernel means the parent's *thread* (prctl(2)), so that the thread which starts children has to live as
    long as they shall. Raises OSError.
    """
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent dies, `setsid` or not. Raises OSError."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def close_memory() -> None:
    """Keeps this process's memory, environment and descriptors from others of its user: from now on they are root's.

    See PR_SET_DUMPABLE in prctl(2), and ptrace(2). Raises OSError.
    """
    _prctl(PR_SET_DUMPABLE, 0)


def no_new_privileges() -> None:
    """No program that this process starts brings rights of its owner along, as sudo would. Raises OSError.

    So nothing that a handler starts gets a user whom the guardian may not kill.
    """
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def give_up_prying() -> None:
    """Takes from this process, and from what it starts, what lets root read another process's memory.

    Without it the kernel keeps even root away from a process that may not be dumped, as the service is (prctl(2)).
    Raises OSError.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    for capability in _PRYING:
        _prctl(_PR_CAPBSET_DROP, capability)
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    # Three sets (effective, permitted, inheritable) of the first 32 capabilities, then of the others.
    if libc.capget(header, sets) == 0:
        for capability in _PRYING:
            for number in range(3):
                sets[capability // 32 * 3 + number] &= ~(1 << capability % 32)
        if libc.capset(header, sets) == 0:
            return
    raise OSError(ctypes.get_errno(), "the capabilities cannot be given up")


def children_of(pid: int) -> list[int]:
    """The direct children of a process; empty where it is gone.

    Reads what the kernel offers under CONFIG_PROC_CHILDREN, which every common distribution sets.
    """
    children: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    except OSError:  # the process, or one of its threads, ended while it was looked at
        pass
    return children


def family_of(pid: int) -> list[int]:
    """A process and all of its descendants; those that come and go meanwhile may be missing."""
    family = [pid]
    for member in family:
        family += children_of(member)
    return family


def read(path: str) -> bytes:
    """A small file of /proc; several times as fast as by pathlib, which shows at this rate. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 65_536)
    finally:
        os.close(descriptor)


def status_kb(pid: int | str, *names: str) -> list[int]:
    """Members of /proc/PID/status in KiB, zero for those that are absent. Raises OSError where there is none."""
    found = dict.fromkeys(names, 0)
    text = read(f"/proc/{pid}/status")
    for name in names:
        # Names stand at the start of a line, then a colon, blanks, the amount and its unit.
        _, _, rest = text.partition(f"\n{name}:".encode())
        if rest:
            found[name] = int(rest[:32].split(None, 1)[0])
    return list(found.values())


def private_kb(pid: int) -> int:
    """Memory that a process alone is the reason for: anonymous and shared-memory pages, in KiB. 0 when it is gone."""
    try:
        return sum(status_kb(pid, "RssAnon", "RssShmem"))
    except OSError:
        return 0


def proportional_kb(pid: int) -> int:
    """The same, with each page divided by the number of processes that share it. Dearer: it walks the page tables."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
