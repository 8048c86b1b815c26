"""The child's side of its limits: what an attempt may take is set here, and what it took is measured here."""

import os
import resource
from dataclasses import dataclass

from app.execution.backends import kernel
from app.execution.backends.frames import Resting

ADDRESS_HEADROOM_MB = 128
"""Address space beyond the grant, for what threads only reserve: a stack is 8 MiB and a malloc arena 64 MiB.
What is really held is watched from outside (guardian.py) and has no such headroom."""

_MIB = 1024 * 1024
_PAGE_BYTES = resource.getpagesize()


def no_core_dumps() -> None:
    """Parameters and results must not end up in a core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def resting() -> Resting:
    """What this process holds and has used up to now."""
    return _measured()[0]


def _measured() -> tuple[Resting, float]:
    """That, and the largest resident size since it was last set back, in MiB."""
    rss, highest, anonymous, shared = kernel.status_kb("self", "VmRSS", "VmHWM", "RssAnon", "RssShmem")
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return Resting(rss_mb=rss / 1024, private_mb=(anonymous + shared) / 1024, cpu_s=cpu_s), highest / 1024


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds, peak memory in MiB above what was held before the attempt, and what is held after it."""

    cpu_s: float
    peak_memory_mb: float
    resting: Resting


class Meter:
    """Measures one attempt, from here to `read`."""

    def __init__(self, before: Resting) -> None:
        self._before = before
        try:
            # Sets VmHWM, the largest resident size, back to the present one (proc(5)).
            descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self._resets = False
        else:
            os.write(descriptor, b"5")
            os.close(descriptor)
            self._resets = True

    def read(self) -> Used:
        """What was used so far. Processes count once they have ended and were waited for."""
        after, highest_mb = _measured()
        peak_mb = highest_mb if self._resets else after.rss_mb
        return Used(
            cpu_s=max(0.0, round(after.cpu_s - self._before.cpu_s, 6)),
            peak_memory_mb=max(0.0, round(peak_mb - self._before.rss_mb, 3)),
            resting=after,
        )


class Confinement:
    """The limits of one attempt after another."""

    def __init__(self) -> None:
        self._address_space = resource.getrlimit(resource.RLIMIT_AS)
        self._all_cpus = os.sched_getaffinity(0)

    def apply(self, memory_mb: int, cpus: list[int] | None) -> None:
        """Limits memory to what is mapped now and `memory_mb` more, where that is not 0, and every thread to `cpus`."""
        allowed = self._all_cpus if cpus is None else set(cpus)
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - pathlib takes six times as long
            os.sched_setaffinity(int(thread), allowed)
        if memory_mb:
            limit = _mapped_bytes() + (memory_mb + ADDRESS_HEADROOM_MB) * _MIB
            soft, hard = self._address_space
            resource.setrlimit(
                resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(soft, limit), hard)
            )

    def lift(self) -> None:
        """The memory limit as it was before."""
        resource.setrlimit(resource.RLIMIT_AS, self._address_space)


def _mapped_bytes() -> int:
    return int(kernel.read("/proc/self/statm").split()[0]) * _PAGE_BYTES
