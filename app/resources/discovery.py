"""The capacity of the node that the service runs on, as a container sees it, or as the operator set it."""

import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import psutil
from pydantic import ValidationError

from app.protocol.resources import Resources
from app.resources.cgroups import cpu_limit, memory_limit, read

MIB = 1024 * 1024
KEPT_LEAST_MB = 256
KEPT_MOST_MB = 4096

_ALLOWED_CPUS = re.compile(r"^Cpus_allowed_list:\s*(\S+)$", re.MULTILINE)
_MEM_TOTAL = re.compile(r"^MemTotal:\s*(\d+) kB$", re.MULTILINE)


class CapacityError(ValueError):
    """The configured capacity cannot be used; the message is one sentence for the operator."""


def discover(root: Path = Path("/"), count_gpus: Callable[[], int] | None = None) -> Resources:
    """What tasks may use here: the smallest of what the machine has and of what it allows this process.

    CPUs by affinity and control groups; memory by the machine's and by control groups, less the service's own share
    (see `memory_for_tasks`); GPUs by NVML. `root` is where proc and sys are read.
    """
    cores = min(allowed_cpus(root), cpu_limit(root) or float("inf"))
    memory = min(total_memory(root), memory_limit(root) or total_memory(root))
    gpus = (count_gpus or nvml_devices)()
    return Resources(cpu=max(int(cores * 1000), 1) / 1000, memory_mb=memory_for_tasks(memory // MIB), gpu=gpus)


def configured(text: str, discovered: Resources) -> Resources:
    """The capacity that the operator set as a JSON vector; what it does not name stays as discovered.

    Raises CapacityError.
    """
    try:
        wanted = Resources.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'it'}: {item['msg']}" for item in error.errors())
        message = f'the capacity must be a JSON object such as {{"cpu": 4, "memory_mb": 8192}}: {problems}'
        raise CapacityError(message) from error
    return discovered.model_copy(update={name: getattr(wanted, name) for name in wanted.model_fields_set})


def memory_for_tasks(available_mb: int) -> int:
    """MiB that tasks may be given, of what is available to this process.

    The service itself (with its embedded database and idle children) keeps a tenth: at least 256 MiB, at most 4 GiB,
    and never more than half of what there is.
    """
    kept = min(max(available_mb // 10, KEPT_LEAST_MB), KEPT_MOST_MB, available_mb // 2)
    return available_mb - kept


def allowed_cpus(root: Path) -> int:
    """How many CPUs this process may run on: its affinity, which holds the cpuset of its container as well."""
    found = _ALLOWED_CPUS.search(read(root / "proc/self/status"))
    return count_of_list(found[1]) if found else os.cpu_count() or 1


def total_memory(root: Path) -> int:
    """Bytes of memory that the machine has."""
    found = _MEM_TOTAL.search(read(root / "proc/meminfo"))
    return int(found[1]) * 1024 if found else int(psutil.virtual_memory().total)


def count_of_list(ranges: str) -> int:
    """How many numbers a kernel list such as "0-3,8" names (cpuset(7), "List format")."""
    total = 0
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def nvml_devices() -> int:
    """How many GPUs the NVIDIA driver shows; 0 without the driver or without the extra `gpu`."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return 0
    try:
        nvml.nvmlInit()
        try:
            return int(nvml.nvmlDeviceGetCount())
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError:
        return 0
