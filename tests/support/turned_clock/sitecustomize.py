"""A clock that a test turns: Python imports this by itself at the start of a process whose path has this folder.

The time of the process, and of the children that it starts with its path, is then that of the machine plus as many
seconds as the file named by TURNED_CLOCK holds now (a double). Its monotonic clock is left alone, as by an operator who
sets the time.
"""

import ctypes
import gc
import mmap
import os
import struct
import time
from datetime import datetime, tzinfo

_machine_ns = time.time_ns
_SECONDS = struct.Struct("d")


def _turn(file: str) -> None:
    with open(file, "rb") as opened:  # noqa: PTH123 - at the start of every process: nothing more is imported
        turned_by = mmap.mmap(opened.fileno(), _SECONDS.size, prot=mmap.PROT_READ)

    def time_ns() -> int:
        return _machine_ns() + int(_SECONDS.unpack_from(turned_by)[0] * 1e9)

    def seconds() -> float:
        return time_ns() / 1e9

    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return cls.fromtimestamp(seconds(), tz)

    time.time_ns, time.time = time_ns, seconds
    # datetime is a type of C's, which is changed by way of the dictionary behind its attributes.
    [members] = gc.get_referents(datetime.__dict__)
    members["now"] = classmethod(now)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))


if "TURNED_CLOCK" in os.environ:
    _turn(os.environ["TURNED_CLOCK"])
