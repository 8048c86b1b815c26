"""The child's side of its limits: what an attempt may take is set here, and what it took is measured here."""

import os
import resource
from dataclasses import dataclass

from app.execution.backends import kernel
from app.execution.backends.frames import Resting

DATA_FACTOR = 1.25
DATA_HEADROOM_MB = 256
"""RLIMIT_DATA stops at once what asks for far too much; what is really held is watched from outside (guardian.py).

It counts what is mapped and not what is touched, hence the room beyond the grant: DuckDB, well within 512 MiB with
432 resident, had 591 mapped this way (721 to 1,293 of address space, which is why it is not RLIMIT_AS), and the
stack of each thread is 8 MiB."""

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
        before = self._before
        after, highest_mb = _measured()
        # Pages of files, such as libraries that were loaded meanwhile, are no memory that was asked for.
        files_mb = max(0.0, (after.rss_mb - after.private_mb) - (before.rss_mb - before.private_mb))
        peak_mb = (highest_mb if self._resets else after.rss_mb) - before.rss_mb - files_mb
        return Used(
            cpu_s=max(0.0, round(after.cpu_s - before.cpu_s, 6)),
            peak_memory_mb=max(0.0, round(peak_mb, 3)),
            resting=after,
        )


class Confinement:
    """The limits of one attempt after another."""

    def __init__(self) -> None:
        self._data = resource.getrlimit(resource.RLIMIT_DATA)
        self._all_cpus = os.sched_getaffinity(0)

    def apply(self, memory_mb: int, cpus: list[int] | None) -> None:
        """Limits what can be mapped beyond what is mapped now, where `memory_mb` is not 0, and every thread to `cpus`.

        Raises OSError.
        """
        allowed = self._all_cpus if cpus is None else set(cpus)
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - pathlib takes six times as long
            os.sched_setaffinity(int(thread), allowed)
        if memory_mb:
            limit = _mapped_data_bytes() + int(memory_mb * DATA_FACTOR + DATA_HEADROOM_MB) * _MIB
            soft, hard = self._data
            resource.setrlimit(
                resource.RLIMIT_DATA, (limit if soft == resource.RLIM_INFINITY else min(soft, limit), hard)
            )

    def lift(self) -> None:
        """The memory limit as it was before."""
        resource.setrlimit(resource.RLIMIT_DATA, self._data)


def _mapped_data_bytes() -> int:
    # The sixth member: private writable mappings, and the stack, in pages (proc(5)).
    return int(kernel.read("/proc/self/statm").split()[5]) * _PAGE_BYTES
