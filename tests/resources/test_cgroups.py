from pathlib import Path, PurePosixPath

import pytest

from app.resources.cgroups import Mount, cpu_limit, memory_limit, parse_membership, parse_mounts

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n"
V1_MOUNTS = (
    "32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct ro,relatime master:11 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {top} /sys/fs/cgroup/memory ro,relatime master:15 - cgroup cgroup rw,memory\n"
    "40 31 0:37 {top} /sys/fs/cgroup/systemd ro,relatime - cgroup cgroup rw,xattr,name=systemd\n"
)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def version_2(root: Path, group: str, files: dict[str, str]) -> Path:
    recorded = {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": V2_MOUNT}
    return tree(root, recorded | {f"sys/fs/cgroup/{name}": text for name, text in files.items()})


def version_1(root: Path, group: str, top: str, files: dict[str, str]) -> Path:
    membership = f"11:memory:{group}\n4:cpu,cpuacct:{group}\n1:name=systemd:{group}\n"
    recorded = {"proc/self/cgroup": membership, "proc/self/mountinfo": V1_MOUNTS.format(top=top)}
    return tree(root, recorded | {f"sys/fs/cgroup/{name}": text for name, text in files.items()})


def test_version_2_in_a_container_of_its_own_namespace(tmp_path: Path) -> None:
    root = version_2(tmp_path, "/", {"cpu.max": "150000 100000\n", "memory.max": "536870912\n"})
    assert cpu_limit(root) == 1.5
    assert memory_limit(root) == 536870912


def test_version_2_without_limits(tmp_path: Path) -> None:
    root = version_2(tmp_path, "/", {"cpu.max": "max 100000\n", "memory.max": "max\n"})
    assert cpu_limit(root) is None
    assert memory_limit(root) is None


def test_the_smallest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {
        "system.slice/app.service/cpu.max": "max 100000\n",
        "system.slice/app.service/memory.max": "2147483648\n",
        "system.slice/cpu.max": "400000 100000\n",
        "system.slice/memory.max": "1073741824\n",
        "cpu.max": "800000 100000\n",
    }
    root = version_2(tmp_path, "/system.slice/app.service", files)
    assert cpu_limit(root) == 4
    assert memory_limit(root) == 1073741824


def test_version_1_with_the_whole_hierarchy_mounted(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "50000\n",
        "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "memory/docker/abc/memory.limit_in_bytes": "268435456\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root = version_1(tmp_path, "/docker/abc", "/", files)
    assert cpu_limit(root) == 0.5
    assert memory_limit(root) == 268435456


@pytest.mark.parametrize("group", ["/docker/abc", "/elsewhere/entirely", "/../../outside"])
def test_version_1_with_only_the_containers_own_group_mounted(tmp_path: Path, group: str) -> None:
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "268435456\n",
    }
    root = version_1(tmp_path, group, "/docker/abc", files)
    assert cpu_limit(root) == 3
    assert memory_limit(root) == 268435456


def test_version_1_without_a_quota(tmp_path: Path) -> None:
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}
    assert cpu_limit(version_1(tmp_path, "/", "/", files)) is None


def test_a_machine_without_control_groups_sets_no_limit(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path) is None
    assert memory_limit(tmp_path) is None


@pytest.mark.parametrize("text", ["", "rubbish", "0 0", "100000 0", "-5 100000", "1e5 100000"])
def test_a_quota_that_makes_no_sense_sets_no_limit(tmp_path: Path, text: str) -> None:
    assert cpu_limit(version_2(tmp_path, "/", {"cpu.max": text})) is None


def test_mounts_are_read_with_their_escapes() -> None:
    text = (
        "32 31 0:29 /a\\040b /mnt/c\\134d rw shared:1 master:2 - cgroup none rw,memory\n36 35 0:3 / / rw - ext4 x rw\n"
    )
    assert parse_mounts(text) == [Mount(frozenset({"rw", "memory"}), PurePosixPath("/a b"), PurePosixPath("/mnt/c\\d"))]


def test_membership_keeps_colons_in_the_path() -> None:
    assert parse_membership("4:cpu,cpuacct:/a:b\n0::/c\n") == {
        "cpu": PurePosixPath("/a:b"),
        "cpuacct": PurePosixPath("/a:b"),
        "": PurePosixPath("/c"),
    }
