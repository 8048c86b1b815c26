"""What a container may use: CPU quotas and memory limits of control groups, versions 1 and 2.

Read below a root directory, so that recorded trees can be read as well as the machine's own. A limit holds for
everything below the group that sets it, so each group from our own up to the top is asked, and the smallest limit
counts (Linux kernel documentation, admin-guide/cgroup-v2.rst and cgroup-v1/). What cannot be read sets no limit.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """Where a hierarchy of groups can be seen: `controllers` is empty for version 2, which has one for all."""

    controllers: frozenset[str]
    top: PurePosixPath
    """The group that is seen at `at`: "/" unless only a part is mounted, as in containers without a namespace."""
    at: PurePosixPath


def cpu_limit(root: Path) -> float | None:
    """Cores that the control groups allow, or None where they set no limit."""
    return min((limit for group in _groups(root, "cpu") if (limit := _cpu_quota(group))), default=None)


def memory_limit(root: Path) -> int | None:
    """Bytes that the control groups allow, or None where they set no limit."""
    return min((limit for group in _groups(root, "memory") if (limit := _memory_bytes(group))), default=None)


def read(path: Path) -> str:
    """What stands in a file of the kernel's; nothing where it is not there, or not for us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def parse_mounts(mountinfo: str) -> list[Mount]:
    """The mounts of control groups in the text of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    mounts = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, described = before.split(" "), after.split(" ")
        if not separator or len(fields) < 5 or described[0] not in {"cgroup", "cgroup2"}:  # noqa: PLR2004 (the fifth is the last that is read)
            continue
        controllers = frozenset(described[-1].split(",")) if described[0] == "cgroup" else frozenset()
        mounts.append(Mount(controllers, PurePosixPath(_unescape(fields[3])), PurePosixPath(_unescape(fields[4]))))
    return mounts


def parse_membership(membership: str) -> dict[str, PurePosixPath]:
    """Our group by controller in the text of /proc/self/cgroup; that of version 2 under "" (cgroups(7))."""
    groups = {}
    for line in membership.splitlines():
        _, separator, rest = line.partition(":")
        controllers, second, path = rest.partition(":")
        if separator and second:
            groups.update({controller: PurePosixPath(path) for controller in controllers.split(",")})
    return groups


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The directories of our own group and of all above it, for a controller, in both versions."""
    membership = parse_membership(read(root / "proc/self/cgroup"))
    for mount in parse_mounts(read(root / "proc/self/mountinfo")):
        if mount.controllers and controller not in mount.controllers:
            continue
        group = membership.get(controller if mount.controllers else "")
        if group is not None:
            top = root / mount.at.relative_to("/")
            inside = _below(group, mount.top)
            yield from (top / part for part in (inside, *inside.parents))


def _below(group: PurePosixPath, top: PurePosixPath) -> PurePosixPath:
    """The group as seen from the top of the mount; a group outside of what is mounted is seen as the top itself."""
    if ".." in group.parts or not group.is_relative_to(top):
        return PurePosixPath()
    return group.relative_to(top)


def _cpu_quota(group: Path) -> float | None:
    """Cores by `cpu.max` ("200000 100000", or "max 100000"), or by the two files of version 1 (-1 is no limit)."""
    quota, _, period = read(group / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = read(group / "cpu.cfs_quota_us").strip(), read(group / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _memory_bytes(group: Path) -> int | None:
    """Bytes by `memory.max` or, in version 1, `memory.limit_in_bytes`."""
    limit = read(group / "memory.max").strip() or read(group / "memory.limit_in_bytes").strip()
    return int(limit) if limit.isdecimal() else None


def _unescape(field: str) -> str:
    """Spaces and the like stand in mountinfo as three octal digits."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), field)
