"""What only the process backend has to do: contain whatever a handler does, measure it, and leave nothing behind."""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import uvloop

from app.execution.backends import kernel
from app.execution.backends.backend import Failed, Outcome, Stopped, Succeeded
from app.execution.backends.process import ProcessBackend
from app.protocol.reasons import Reason
from app.protocol.resources import Resources
from tests.execution.backends import handlers, poison, unprepared
from tests.execution.backends.attempts import Recorded, record
from tests.execution.backends.conftest import MODULES
from tests.execution.backends.lives import Watched, alive

SMALL = Resources(cpu=1, memory_mb=32)


@contextlib.asynccontextmanager
async def started(
    warm: int, *, modules: Sequence[str] = MODULES, cancel_grace_s: float = 1.0, variables: Sequence[str] = ()
) -> AsyncIterator[ProcessBackend]:
    """A backend of the test's own making, closed whatever becomes of the test."""
    backend = ProcessBackend(modules, warm, cancel_grace_s, max_result_bytes=100_000, variables=variables)
    try:
        await backend.start()
        yield backend
    finally:
        await backend.close()


def guardian_of(backend: ProcessBackend) -> int:
    assert backend._nursery is not None
    return backend._nursery._guardian.pid


async def value_of(backend: ProcessBackend, handler: Callable[..., Any], **parameters: Any) -> Any:
    outcome = await backend.run(record(handler, **parameters).attempt)
    assert isinstance(outcome, Succeeded), outcome
    return json.loads(outcome.result_json)


async def error_of(backend: ProcessBackend, recorded: Recorded) -> dict[str, Any]:
    outcome = await backend.run(recorded.attempt)
    assert isinstance(outcome, Failed), outcome
    assert outcome.reason is Reason.EXECUTION_ERROR
    assert not outcome.permanent
    return outcome.error


async def stop_once_begun(backend: ProcessBackend, recorded: Recorded, reason: Reason) -> Outcome:
    running = asyncio.create_task(backend.run(recorded.attempt))
    await recorded.began.wait()
    recorded.attempt.stop.set(reason)
    return await running


@pytest.mark.parametrize(
    ("handler", "evidence"),
    [
        (poison.segfault, {"signal": "SIGSEGV", "message": "the task's process was killed by SIGSEGV"}),
        (poison.exit_, {"exit_code": 3, "message": "the task's process ended itself with exit code 3"}),
        (poison.killed, {"signal": "SIGKILL", "message": "the task's process was killed by SIGKILL"}),
    ],
)
async def test_the_death_of_a_child_fails_its_attempt_with_the_evidence(
    process_backend: ProcessBackend, handler: Callable[..., Any], evidence: dict[str, Any]
) -> None:
    assert await value_of(process_backend, handlers.echo) == {}
    error = await error_of(process_backend, record(handler))
    assert error.items() >= {"kind": "ProcessDied", **evidence}.items()
    assert error["peak_memory_mb"] >= 0
    assert await value_of(process_backend, handlers.echo) == {}


async def test_the_last_words_of_a_crash_reach_the_log(
    process_backend: ProcessBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recorded = record(poison.segfault)
    await process_backend.run(recorded.attempt)
    lines = [line for line in caplog.records if line.name == "app.execution.output"]
    assert "Segmentation fault" in lines[0].getMessage()
    assert vars(lines[0])["task_id"] == recorded.attempt.task_id


@pytest.mark.parametrize("handler", [poison.spin, poison.spin_in_c, poison.deaf, poison.stopped])
async def test_stops_what_does_not_want_to(process_backend: ProcessBackend, handler: Callable[..., Any]) -> None:
    outcome = await stop_once_begun(process_backend, record(handler), Reason.TIMED_OUT)
    assert isinstance(outcome, Stopped)
    assert outcome.reason is Reason.TIMED_OUT
    assert "cpu_s" in outcome.used


async def test_kills_a_cancelled_handler_after_the_grace_time() -> None:
    async with started(warm=0, cancel_grace_s=0.05) as backend:
        outcome = await stop_once_begun(backend, record(poison.deaf), Reason.CANCELLED)
        assert isinstance(outcome, Stopped)
        assert outcome.reason is Reason.CANCELLED
        assert kernel.children_of(guardian_of(backend)) == []


async def test_a_handler_that_ends_within_the_grace_time_keeps_its_child(
    process_backend: ProcessBackend, tmp_path: Any
) -> None:
    before = (await value_of(process_backend, poison.look_around))["pid"]
    recorded = record(handlers.heed, path=str(tmp_path / "note"))
    assert isinstance(await stop_once_begun(process_backend, recorded, Reason.CANCELLED), Stopped)
    assert (await value_of(process_backend, poison.look_around))["pid"] == before


@pytest.mark.parametrize("then", ["wait", "die", "return"])
async def test_nothing_that_a_handler_started_outlives_its_attempt(process_backend: ProcessBackend, then: str) -> None:
    recorded = record(poison.grandchildren, then=then)
    running = asyncio.create_task(process_backend.run(recorded.attempt))
    await recorded.began.wait()
    pids = recorded.progress[0][1]["pids"]
    assert len(set(pids)) == 4
    if then == "wait":
        recorded.attempt.stop.set(Reason.TIMED_OUT)
    outcome = await running
    assert type(outcome) is {"wait": Stopped, "die": Failed, "return": Succeeded}[then]
    assert alive(pids) == []


async def test_a_forked_process_that_returns_is_not_taken_for_the_handler(process_backend: ProcessBackend) -> None:
    assert await value_of(process_backend, poison.forked_return) == "parent"
    assert await value_of(process_backend, poison.forked_progress) == 1
    assert await value_of(process_backend, poison.forked_return) == "parent"


async def test_a_child_in_which_a_thread_was_left_is_replaced(process_backend: ProcessBackend) -> None:
    pid = await value_of(process_backend, poison.left_thread)
    assert alive([pid]) == []
    assert await value_of(process_backend, handlers.echo) == {}


async def test_more_memory_at_once_than_granted_is_refused(process_backend: ProcessBackend) -> None:
    error = await error_of(process_backend, record(poison.allocate, SMALL, chunk_mb=4000, chunks=1))
    assert error.pop("peak_memory_mb") >= 0
    assert error == {
        "kind": "MemoryError",
        "message": "out of memory: the task was granted 32 MiB",
        "asked_memory_mb": 32,
    }
    assert await value_of(process_backend, handlers.echo) == {}


@pytest.mark.parametrize(
    ("handler", "parameters"),
    [
        (poison.allocate, {"chunk_mb": 1, "chunks": 100, "wait": True}),
        (poison.allocate_in_forks, {"forks": 4, "each_mb": 20}),
    ],
)
async def test_more_memory_bit_by_bit_or_in_forked_processes_ends_the_attempt(
    process_backend: ProcessBackend, handler: Callable[..., Any], parameters: dict[str, Any]
) -> None:
    error = await error_of(process_backend, record(handler, SMALL, **parameters))
    assert error["kind"] == "MemoryExceeded"
    assert error["asked_memory_mb"] == 32
    assert error["peak_memory_mb"] > 32
    assert error["message"].endswith("of memory and was granted 32 MiB")


async def test_memory_that_forked_processes_share_counts_once(process_backend: ProcessBackend) -> None:
    recorded = record(poison.share_in_forks, Resources(cpu=1, memory_mb=64), mb=40, forks=4)
    outcome = await process_backend.run(recorded.attempt)
    assert isinstance(outcome, Succeeded), outcome
    assert 35 <= outcome.used["peak_memory_mb"] < 64


async def test_what_was_used_is_measured(process_backend: ProcessBackend) -> None:
    idle = await process_backend.run(record(handlers.echo).attempt)
    large = await process_backend.run(record(poison.allocate, chunk_mb=1, chunks=50).attempt)
    again = await process_backend.run(record(handlers.echo).attempt)
    assert isinstance(idle, Succeeded)
    assert isinstance(large, Succeeded)
    assert isinstance(again, Succeeded)
    assert 45 <= large.used["peak_memory_mb"] < 60
    assert again.used["peak_memory_mb"] < 20
    burnt = await process_backend.run(record(poison.burn).attempt)
    assert isinstance(burnt, Succeeded)
    assert burnt.used["cpu_s"] >= 0.2 > idle.used["cpu_s"]


async def test_what_a_killed_attempt_used_is_measured_too(process_backend: ProcessBackend) -> None:
    await value_of(process_backend, handlers.echo)
    recorded = record(poison.allocate, chunk_mb=1, chunks=50, wait=True)
    outcome = await stop_once_begun(process_backend, recorded, Reason.TIMED_OUT)
    assert 45 <= outcome.used["peak_memory_mb"] < 70
    assert outcome.used["cpu_s"] > 0


async def test_handlers_see_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@host/db")
    monkeypatch.setenv("OWN_VARIABLE", "passed on")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    async with started(warm=1, variables=["OWN_VARIABLE"]) as backend:
        seen = await value_of(backend, poison.look_around)
    environment = seen["environment"]
    assert environment["OWN_VARIABLE"] == "passed on"
    assert environment["TZ"] == "Asia/Kathmandu"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["PATH"] == os.environ["PATH"]
    assert "DATABASE_URL" not in environment
    assert "PYTHONPATH" not in environment
    assert seen["session"] is True
    assert seen["core"] == 0
    assert seen["stdin"] == ""
    assert set(sys.path) - {""} <= set(seen["path"])
    kinds = {name.partition(":")[0].partition("[")[0] for name in seen["descriptors"]}
    assert kinds <= {"/dev/null", "pipe", "socket"}
    assert sum(name.startswith("socket") for name in seen["descriptors"]) == 1


async def test_an_attempt_gets_the_cpus_and_devices_of_its_grant(process_backend: ProcessBackend) -> None:
    available = sorted(os.sched_getaffinity(0))
    recorded = record(poison.look_around, Resources(cpu=2, memory_mb=256, gpu=2))
    recorded.attempt.gpu_ids = ("0", "GPU-5")
    two = await process_backend.run(recorded.attempt)
    assert isinstance(two, Succeeded)
    seen = json.loads(two.result_json)
    assert seen["cpus"] == available[:2]
    assert seen["environment"]["OPENBLAS_NUM_THREADS"] == "2"
    assert seen["environment"]["CUDA_VISIBLE_DEVICES"] == "0,GPU-5"
    one = await value_of(process_backend, poison.look_around)
    assert len(one["cpus"]) == 1
    free = await process_backend.run(record(poison.look_around, Resources()).attempt)
    assert isinstance(free, Succeeded)
    assert json.loads(free.result_json)["cpus"] == available


async def test_the_next_attempt_finds_everything_as_it_was(process_backend: ProcessBackend) -> None:
    before = await value_of(process_backend, poison.look_around)
    await value_of(process_backend, poison.sneaky)
    await value_of(process_backend, poison.close_output)
    assert await value_of(process_backend, poison.look_around) == before


@pytest.mark.parametrize("wait", [False, True])
async def test_a_handler_that_closes_the_channel_loses_its_child(
    process_backend: ProcessBackend, *, wait: bool
) -> None:
    error = await error_of(process_backend, record(poison.close_everything, wait=wait))
    assert error["kind"] == "ProcessDied"
    assert await value_of(process_backend, handlers.echo) == {}


@pytest.mark.parametrize(
    "forged",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01{",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x14" + b'{"type": "progress"}',
        b"\x00\x00\x00\x3f" + b'{"type":"progress","fraction":2,"details":{"made_up":"numbers"}}'[:63],
        b"\x00\x02\x00\x00" + b" " * 131_072,
    ],
)
async def test_what_is_no_frame_ends_the_child(process_backend: ProcessBackend, forged: bytes) -> None:
    recorded = record(poison.forge, bytes_hex=forged.hex())
    error = await error_of(process_backend, recorded)
    assert error["message"].startswith("the task's process was killed: it sent what it may not")
    assert recorded.progress == []
    assert await value_of(process_backend, handlers.echo) == {}


async def test_a_flood_of_progress_is_thinned_and_the_last_call_always_arrives(process_backend: ProcessBackend) -> None:
    recorded = record(poison.flood_progress, calls=1_000_000)
    assert isinstance(await process_backend.run(recorded.attempt), Succeeded)
    assert recorded.progress[-1] == (1.0, {"call": 999_999})
    assert len(recorded.progress) < 5_000
    assert recorded.progress == sorted(recorded.progress, key=lambda update: update[0])


async def test_the_last_call_arrives_while_the_handler_is_silent(process_backend: ProcessBackend) -> None:
    last = asyncio.Event()
    recorded = record(poison.flood_progress, calls=2_000, wait=True)
    recorded.attempt.on_progress = lambda fraction, _: last.set() if fraction == 1 else None
    running = asyncio.create_task(process_backend.run(recorded.attempt))
    await last.wait()
    recorded.attempt.stop.set(Reason.TIMED_OUT)
    assert isinstance(await running, Stopped)


async def test_what_handlers_print_is_logged_with_their_task(
    process_backend: ProcessBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recorded = record(handlers.printing)
    await process_backend.run(recorded.attempt)
    await process_backend.close()
    lines = [line for line in caplog.records if line.name == "app.execution.output"]
    assert [line.getMessage() for line in lines] == ["printed \\udcff", "no line feedWARNING app.execution: logged"]
    assert {vars(line)["task_id"] for line in lines} == {recorded.attempt.task_id}


async def test_a_flood_of_output_is_cut(process_backend: ProcessBackend, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert await value_of(process_backend, poison.flood_output, lines=20_000) is None
    lines = [line for line in caplog.records if line.name == "app.execution.output"]
    assert len(lines) == 1_001
    assert "further output is dropped" in lines[-1].getMessage()
    assert await value_of(process_backend, handlers.echo) == {}


async def test_a_module_that_cannot_be_imported_fails_its_own_attempts_only() -> None:
    async with started(warm=0, modules=["no.such.module", "tests.execution.backends.handlers"]) as backend:
        assert await value_of(backend, handlers.echo) == {}
        assert await value_of(backend, poison.forked_return) == "parent"


async def test_what_a_kind_needs_is_made_ready_once_in_each_child(process_backend: ProcessBackend) -> None:
    for _ in range(2):
        assert await value_of(process_backend, handlers.prepared_by) == ["engine"]
    assert not handlers.prepared, "and not here"


async def test_what_cannot_be_made_ready_ends_no_child() -> None:
    async with started(warm=0, modules=[unprepared.__name__]) as backend:
        assert await value_of(backend, unprepared.badly_prepared, a=1) == {"a": 1}


async def test_poison_of_every_kind_harms_no_neighbour(process_backend: ProcessBackend) -> None:
    """Nine kinds mixed with healthy attempts, four at a time."""
    seed = random.randrange(10**9)
    logging.getLogger(__name__).warning("seed %d", seed)
    gate = asyncio.Semaphore(4)

    async def healthy(number: int) -> None:
        async with gate:
            assert await value_of(process_backend, handlers.echo, number=number) == {"number": number}

    async def dies(recorded: Recorded) -> None:
        async with gate:
            assert isinstance(await process_backend.run(recorded.attempt), Failed)

    async def hangs(recorded: Recorded) -> None:
        async with gate:
            assert isinstance(await stop_once_begun(process_backend, recorded, Reason.TIMED_OUT), Stopped)

    poisons = [
        *(dies(record(handler)) for handler in (poison.segfault, poison.exit_, poison.killed)),
        *(hangs(record(handler)) for handler in (poison.spin, poison.spin_in_c, poison.deaf, poison.stopped)),
        hangs(record(poison.grandchildren, then="wait")),
        dies(record(poison.allocate, SMALL, chunk_mb=4000, chunks=1)),
        dies(record(handlers.result, what="object")),
    ]
    mixed = [*poisons, *(healthy(number) for number in range(40))]
    random.Random(seed).shuffle(mixed)
    await asyncio.gather(*mixed)
    idle = {child.process.pid for _, child in process_backend._idle}
    assert set(alive(kernel.children_of(guardian_of(process_backend)))) <= idle


async def test_children_are_kept_and_used_again(process_backend: ProcessBackend) -> None:
    pids = {(await value_of(process_backend, poison.look_around))["pid"] for _ in range(20)}
    assert len(pids) == 1


async def test_a_child_that_dies_while_idle_is_noticed(process_backend: ProcessBackend) -> None:
    pid = (await value_of(process_backend, poison.look_around))["pid"]
    [(_, child)] = process_backend._idle
    os.kill(pid, signal.SIGKILL)
    await child.process.exited
    assert (await value_of(process_backend, poison.look_around))["pid"] != pid


async def test_a_worn_child_is_replaced(monkeypatch: pytest.MonkeyPatch, process_backend: ProcessBackend) -> None:
    monkeypatch.setattr("app.execution.backends.process.MAX_ATTEMPTS", 3)
    pids = [(await value_of(process_backend, poison.look_around))["pid"] for _ in range(6)]
    assert pids[0] == pids[2] != pids[3] == pids[5]


async def test_idle_children_beyond_the_warm_ones_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(warm=1) as backend:
        await asyncio.gather(*(value_of(backend, handlers.echo) for _ in range(3)))
        *surplus, last_used = [child for _, child in backend._idle]
        assert len(surplus) == 2
        monkeypatch.setattr("app.execution.backends.process.IDLE_S", 0.05)
        assert backend._sweep is not None
        backend._sweep.cancel()
        backend._sweep_later()
        await asyncio.gather(*(child.process.exited for child in surplus))
        assert [child for _, child in backend._idle] == [last_used]


async def test_a_warm_child_that_died_is_replaced_in_advance() -> None:
    async with started(warm=2) as backend:
        before = {child for _, child in backend._idle}
        await error_of(backend, record(poison.exit_))
        assert backend._warming is not None
        await backend._warming
        assert len(before & {child for _, child in backend._idle}) == 1
        assert len(backend._idle) == 2


async def test_a_guardian_that_is_told_to_end_waits_for_the_service(process_backend: ProcessBackend) -> None:
    before = await value_of(process_backend, poison.look_around)
    guardian = guardian_of(process_backend)
    os.kill(guardian, signal.SIGTERM)
    assert isinstance(await stop_once_begun(process_backend, record(poison.deaf), Reason.TIMED_OUT), Stopped)
    after = await value_of(process_backend, poison.look_around)
    assert after["pid"] != before["pid"]
    assert kernel.children_of(guardian) == [after["pid"]]


async def test_closing_leaves_no_process(process_backend: ProcessBackend) -> None:
    recorded = record(poison.grandchildren, then="wait")
    running = asyncio.create_task(process_backend.run(recorded.attempt))
    await recorded.began.wait()
    guardian = guardian_of(process_backend)
    family = kernel.family_of(guardian)
    assert len(family) >= 6
    await process_backend.close()
    assert alive(family) == []
    assert isinstance(await running, Stopped)
    assert await process_backend.run(record(handlers.echo).attempt) == Stopped(Reason.EXECUTOR_LOST, {})


async def test_a_killed_guardian_is_replaced(process_backend: ProcessBackend) -> None:
    recorded = record(handlers.wait)
    running = asyncio.create_task(process_backend.run(recorded.attempt))
    await recorded.began.wait()
    lost = Watched(kernel.family_of(guardian_of(process_backend)))
    os.kill(guardian_of(process_backend), signal.SIGKILL)
    outcome = await running
    assert isinstance(outcome, Failed)
    assert outcome.error["message"] == "the task's process is lost: the guardian of the children is gone"
    assert await asyncio.to_thread(lost.survivors) == []
    assert await value_of(process_backend, handlers.echo) == {}


def test_works_on_uvloop() -> None:
    async def main() -> None:
        async with started(warm=1) as backend:
            assert await value_of(backend, handlers.echo, large="x" * 90_000) == {"large": "x" * 90_000}
            assert (await error_of(backend, record(poison.segfault)))["signal"] == "SIGSEGV"
            assert isinstance(await stop_once_begun(backend, record(poison.deaf), Reason.TIMED_OUT), Stopped)
            family = kernel.family_of(guardian_of(backend))
        assert alive(family) == []

    uvloop.run(main())


SERVICE = """
import asyncio, os
from app.execution.backends import kernel
from app.execution.backends.process import ProcessBackend
from tests.execution.backends import handlers, poison, unprepared
from tests.execution.backends.attempts import record
from tests.execution.backends.conftest import MODULES

async def main():
    backend = ProcessBackend(MODULES, warm=2, cancel_grace_s=1, max_result_bytes=1000)
    await backend.start()
    attempts = [record(poison.grandchildren, then="wait"), record(poison.deaf), record(poison.stopped)]
    running = [asyncio.create_task(backend.run(recorded.attempt)) for recorded in attempts]
    await asyncio.gather(*(recorded.began.wait() for recorded in attempts))
    print(*kernel.family_of(os.getpid())[1:], flush=True)
    await asyncio.gather(*running)

asyncio.run(main())
"""


def test_a_service_that_is_killed_leaves_no_process() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        pids = [int(pid) for pid in service.stdout.readline().split()]
        assert len(pids) >= 8
        watched = Watched(pids)
        service.kill()
        assert watched.survivors() == []
