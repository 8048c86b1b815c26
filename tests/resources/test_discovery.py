import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.protocol.resources import Resources
from app.resources.discovery import (
    CapacityError,
    allowed_cpus,
    configured,
    count_of_list,
    discover,
    memory_for_tasks,
    nvml_devices,
    total_memory,
)
from tests.resources.test_cgroups import tree, version_2

GIB_KB = 1024 * 1024


def machine(root: Path, cpus: str, memory_kb: int) -> Path:
    return tree(
        root,
        {
            "proc/self/status": f"Name:\tpython\nCpus_allowed:\tff\nCpus_allowed_list:\t{cpus}\nMems_allowed:\t1\n",
            "proc/meminfo": f"MemTotal:       {memory_kb} kB\nMemFree:        1 kB\n",
        },
    )


def none() -> int:
    return 0


def test_a_machine_without_limits_offers_what_it_has(tmp_path: Path) -> None:
    root = machine(tmp_path, "0-7", 16 * GIB_KB)
    assert discover(root, none) == Resources(cpu=8, memory_mb=16384 - 1638, gpu=0)


def test_a_container_offers_what_it_may_use(tmp_path: Path) -> None:
    root = machine(tmp_path, "0-7", 16 * GIB_KB)
    version_2(root, "/", {"cpu.max": "250000 100000\n", "memory.max": str(2048 * 1024 * 1024)})
    assert discover(root, none) == Resources(cpu=2.5, memory_mb=2048 - 256)


def test_affinity_counts_where_it_is_narrower_than_the_quota(tmp_path: Path) -> None:
    root = machine(tmp_path, "2,5", 4 * GIB_KB)
    version_2(root, "/", {"cpu.max": "600000 100000\n", "memory.max": "max\n"})
    assert discover(root, none).cpu == 2


def test_a_memory_limit_beyond_the_machine_is_no_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, "0", 4 * GIB_KB)
    version_2(root, "/", {"memory.max": str(1 << 60)})
    assert discover(root, none).memory_mb == 4096 - 409


def test_a_quota_of_a_sliver_is_still_a_thousandth(tmp_path: Path) -> None:
    root = machine(tmp_path, "0", GIB_KB)
    version_2(root, "/", {"cpu.max": "1 100000000\n"})
    assert discover(root, none).cpu == 0.001


def test_gpus_are_counted(tmp_path: Path) -> None:
    assert discover(machine(tmp_path, "0", GIB_KB), lambda: 2).gpu == 2


def test_without_proc_the_operating_system_is_asked(tmp_path: Path) -> None:
    assert allowed_cpus(tmp_path) >= 1
    assert total_memory(tmp_path) > 1 << 20


def test_this_machine_has_something_to_offer() -> None:
    capacity = discover()
    assert capacity.cpu > 0
    assert capacity.memory_mb > 0


@pytest.mark.parametrize(
    ("available", "offered"), [(0, 0), (300, 150), (1000, 744), (10_000, 9_000), (100_000, 100_000 - 4096)]
)
def test_the_service_keeps_its_share_of_memory(available: int, offered: int) -> None:
    assert memory_for_tasks(available) == offered


@pytest.mark.parametrize(("text", "number"), [("0", 1), ("0-3", 4), ("0-1,4,6-7", 5)])
def test_kernel_lists_are_counted(text: str, number: int) -> None:
    assert count_of_list(text) == number


def test_what_the_operator_does_not_name_stays_discovered() -> None:
    discovered = Resources(cpu=4, memory_mb=1000, gpu=1)
    text = '{"cpu": 1.5, "gpu": 0, "custom": {"licence": 2}}'
    assert configured(text, discovered) == Resources(cpu=1.5, memory_mb=1000, gpu=0, custom={"licence": 2})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "JSON"),
        ("[]", "JSON"),
        ('{"cpu": -1}', "cpu"),
        ('{"cores": 2}', "cores"),
        ('{"memory_mb": 1.5}', "memory_mb"),
    ],
)
def test_a_capacity_that_cannot_be_used_is_named(text: str, named: str) -> None:
    with pytest.raises(CapacityError, match=named):
        configured(text, Resources())


class FakeError(Exception):
    pass


def fake_nvml(devices: int, broken: str = "") -> Any:
    closed: list[bool] = []

    def call(name: str, answer: int | None) -> Any:
        def run() -> int | None:
            if name == broken:
                raise FakeError
            if name == "nvmlShutdown":
                closed.append(True)
            return answer

        return run

    answers = {"nvmlInit": None, "nvmlDeviceGetCount": devices, "nvmlShutdown": None}
    return SimpleNamespace(NVMLError=FakeError, closed=closed, **{name: call(name, n) for name, n in answers.items()})


def test_nvml_counts_and_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = fake_nvml(3)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert nvml_devices() == 3
    assert nvml.closed == [True]


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount"])
def test_a_machine_without_the_driver_has_no_gpus(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(3, broken))
    assert nvml_devices() == 0


def test_without_the_extra_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml_devices() == 0
