"""One task from its submission to its end, through every way in which an attempt can end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.protocol.reasons import Reason
from app.protocol.states import State
from app.protocol.times import format_time
from app.task_types.context import TaskContext
from app.task_types.definition import PermanentError
from tests.execution.node import Stage, a_turn, open_node, registry_of
from tests.support.waiting import eventually

ATTEMPT = ["ResourcesAllocated", "ExecutionStarted"]
RELEASED = ["ReleaseResources", "ResourcesReleased"]


def in_seconds(seconds: float) -> str:
    return format_time(datetime.now(UTC) + timedelta(seconds=seconds))


async def test_success(database_url: str) -> None:
    seen: list[TaskContext] = []

    async def double(parameters: dict[str, Any], context: TaskContext) -> dict[str, Any]:
        seen.append(context)
        return {"doubled": parameters["number"] * 2}

    async with open_node(database_url, registry_of({"double": double})) as node:
        task_id = await node.submit("double", {"number": 2**70}, resources={"cpu": 0.5})
        task = await node.reach(task_id)
        assert (task.state, task.result_json, task.progress) == (State.COMPLETED, f'{{"doubled":{2**71}}}', 1.0)
        assert (task.attempt, task.error_json, task.reason, task.lease_owner) == (1, None, None, None)
        assert await node.names(task_id) == [
            "SubmitTask", "TaskAccepted", "RequestResources", *ATTEMPT, *RELEASED, "TaskCompleted",
        ]  # fmt: skip
        (context,) = seen
        assert (context.task_id, context.attempt, context.allocation.cpu, context.cancelled) == (task_id, 1, 0.5, False)
        await node.check_at_rest()


async def test_failures_are_tried_again_with_backoff_to_the_last(database_url: str) -> None:
    async def fail(_parameters: dict[str, Any], context: TaskContext) -> None:
        raise RuntimeError(f"attempt {context.attempt}")

    async with open_node(database_url, registry_of({"fail": fail})) as node:
        policy = {"max_attempts": 3, "initial_s": 0.02, "max_s": 0.03}
        task_id = await node.submit("fail", retry=policy)
        task = await node.reach(task_id)
        assert (task.state, task.reason, task.attempt) == (State.FAILED, Reason.EXECUTION_ERROR, 3)
        assert task.error_json == '{"kind":"RuntimeError","message":"attempt 3"}'
        again = ["ProgressUpdate", "RequestResources"]
        assert await node.names(task_id) == [
            "SubmitTask", "TaskAccepted", "RequestResources",
            *ATTEMPT, *RELEASED, *again, *ATTEMPT, *RELEASED, *again, *ATTEMPT, *RELEASED, "TaskFailed",
        ]  # fmt: skip
        await node.check_at_rest()


async def test_a_later_attempt_may_succeed(database_url: str) -> None:
    async def third_time_lucky(_parameters: dict[str, Any], context: TaskContext) -> int:
        if context.attempt < 3:
            raise ValueError("not yet")
        return context.attempt

    async with open_node(database_url, registry_of({"lucky": third_time_lucky})) as node:
        task = await node.reach(await node.submit("lucky"))
        assert (task.state, task.attempt, task.result_json, task.error_json) == (State.COMPLETED, 3, "3", None)
        await node.check_at_rest()


async def test_a_permanent_error_is_not_tried_again(database_url: str) -> None:
    async def refuse(_parameters: dict[str, Any], _context: TaskContext) -> None:
        raise PermanentError("never")

    async with open_node(database_url, registry_of({"refuse": refuse})) as node:
        task = await node.reach(await node.submit("refuse"))
        assert (task.state, task.reason, task.attempt) == (State.FAILED, Reason.EXECUTION_ERROR, 1)
        assert task.error_json == '{"kind":"PermanentError","message":"never"}'
        await node.check_at_rest()


async def test_a_result_beyond_the_limit_fails_for_good(database_url: str) -> None:
    async def much(_parameters: dict[str, Any], _context: TaskContext) -> str:
        return "x" * 200_000

    async with open_node(database_url, registry_of({"much": much})) as node:
        task = await node.reach(await node.submit("much"))
        assert (task.state, task.reason, task.attempt) == (State.FAILED, Reason.RESULT_TOO_LARGE, 1)
        await node.check_at_rest()


@pytest.mark.parametrize("attempts", [1, 2])
async def test_an_attempt_has_its_time(database_url: str, stage: Stage, attempts: int) -> None:
    async with open_node(database_url, registry_of({"wait": stage.wait_for_go})) as node:
        task_id = await node.submit("wait", timeout_s=0.05, retry={"max_attempts": attempts})
        task = await node.reach(task_id)
        assert (task.state, task.reason, task.attempt) == (State.FAILED, Reason.TIMED_OUT, attempts)
        assert "0.05 s" in (task.error_json or "")
        assert (len(stage.began), stage.running, stage.ended) == (attempts, 0, [])
        await node.check_at_rest()


async def test_a_deadline_ends_a_running_attempt_for_good(database_url: str, stage: Stage) -> None:
    async with open_node(database_url, registry_of({"wait": stage.wait_for_go})) as node:
        task = await node.reach(await node.submit("wait", deadline=in_seconds(0.3)))
        assert (task.state, task.reason, stage.running) == (State.FAILED, Reason.DEADLINE_EXCEEDED, 0)
        await node.check_at_rest()


async def test_no_attempt_is_made_that_the_deadline_forbids(database_url: str) -> None:
    async def fail(_parameters: dict[str, Any], _context: TaskContext) -> None:
        raise RuntimeError("no")

    async with open_node(database_url, registry_of({"fail": fail})) as node:
        slow = {"max_attempts": 5, "initial_s": 86_400, "max_s": 86_400}
        task = await node.reach(await node.submit("fail", deadline=in_seconds(0.5), retry=slow))
        assert (task.state, task.reason, task.attempt) == (State.FAILED, Reason.EXECUTION_ERROR, 1)
        await node.check_at_rest()


# -- progress --------------------------------------------------------------------------------------------------------


async def test_progress_is_thinned_and_the_last_is_kept(database_url: str) -> None:
    async def count(_parameters: dict[str, Any], context: TaskContext) -> None:
        for step in range(1000):
            context.progress(step / 1000, step=step)
            await a_turn()

    async with open_node(database_url, registry_of({"count": count})) as node:
        task_id = await node.submit("count")
        await node.reach(task_id)
        async with node.looking:
            rows = await node.sql.fetch(
                "SELECT (message->'body'->'details'->'progress_details'->>'step')::int AS step FROM history "
                "WHERE task_id = $1 AND name = 'ProgressUpdate' ORDER BY sequence",
                task_id,
            )
        steps = [row["step"] for row in rows]
        assert steps == sorted(set(steps))
        assert steps[-1] == 999
        assert len(steps) < 100
        await node.check_at_rest()


async def test_progress_is_visible_while_the_task_runs(database_url: str, stage: Stage) -> None:
    async def work(parameters: dict[str, Any], context: TaskContext) -> None:
        context.progress(0.25, stage="first", text='"quoted" \x00')
        await stage.wait_for_go(parameters, context)

    async with open_node(database_url, registry_of({"work": work})) as node:
        task_id = await node.submit("work")
        await stage.until_began(1)

        async def told() -> bool:
            return (await node.task(task_id)).progress == 0.25

        await eventually(told, "progress of a quarter")
        stage.go.set()
        await node.reach(task_id)
        await node.check_at_rest()
