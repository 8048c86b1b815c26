"""The environment of children: a few variables of the service's own, and none of its secrets."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ALLOWED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME", "TASK_EXECUTOR_SOURCES_FILE",
)  # fmt: skip
ALLOWED_PREFIXES = ("LC_", "PYTHON", "CUDA_", "NVIDIA_")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "GOMAXPROCS",
)  # fmt: skip
"""What numerical libraries read, most of them once, when they are loaded: hence a child keeps one shape for life."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What of an attempt's grant is fixed when its child starts: threads, and visible GPUs (None: as the service)."""

    threads: int = 1
    gpus: str | None = ""


def inherited(source: Mapping[str, str], extra: Sequence[str] = ()) -> dict[str, str]:
    """The variables that handlers see: those allowed here, and those that the operator named."""
    return {
        name: value
        for name, value in source.items()
        if name in ALLOWED or name in extra or name.startswith(ALLOWED_PREFIXES)
    }


def shaped(environment: Mapping[str, str], shape: Shape) -> dict[str, str]:
    """The environment with the threads and GPUs of a shape."""
    gpus = {} if shape.gpus is None else {"CUDA_VISIBLE_DEVICES": shape.gpus}
    # With an arena for each thread, malloc keeps several times the memory that is in use.
    return {**environment, "MALLOC_ARENA_MAX": "2", **dict.fromkeys(THREAD_VARIABLES, str(shape.threads)), **gpus}


def importing(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with which a child starts, so that it imports what the service can import."""
    return {**environment, "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)}
