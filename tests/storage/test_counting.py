"""What submitters use is counted with every change, and checked there: exactly, over replicas, whatever happens."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from app.protocol.quotas import Quota
from app.protocol.reasons import Reason
from app.protocol.resources import Resources
from app.protocol.states import State
from app.protocol.task import Task
from app.storage.erasure import Erasures
from app.storage.errors import Conflict, DuplicateMessage, QuotaExceeded
from app.storage.quotas import Quotas
from app.storage.usage import Usage, Use
from tests.storage.stored import Store, accepted_task, in_a_while, new_task, open_store, started
from tests.support.waiting import eventually

TEN = Quota(queued=10)
# In the journal's order: it and the journal would lock each other out otherwise.
COUNT_WRONG = """
WITH locked AS MATERIALIZED (SELECT submitter FROM quota_usage ORDER BY submitter COLLATE "C" FOR UPDATE)
UPDATE quota_usage AS u SET queued = queued + 3, held = '{"cpu": 5}' FROM locked WHERE u.submitter = locked.submitter"""


@pytest.fixture
async def quotas(store: Store) -> Quotas:
    """Counts from the beginning on; nothing is set for anyone."""
    made = Quotas(store.database, Quota())
    await made.usage.begin()
    return made


async def outcomes(store: Store, tasks: list[Task]) -> list[BaseException | None]:
    """What becomes of changes that are handed over at once."""
    return list(await asyncio.gather(*(store.journal.commit(task.change()) for task in tasks), return_exceptions=True))


@asynccontextmanager
async def writing(*stores: Store) -> AsyncIterator[None]:
    """Stores tasks of seven submitters meanwhile, twenty at a time."""
    done = asyncio.Event()

    async def write(store: Store) -> None:
        while not done.is_set():
            await store.put(*(accepted_task(submitter=f"subject-{number % 7}") for number in range(20)))

    writers = [asyncio.create_task(write(store)) for store in stores]
    try:
        yield
    finally:
        done.set()
        await asyncio.gather(*writers)


def refusals(found: list[BaseException | None]) -> list[str]:
    return [outcome.policy for outcome in found if isinstance(outcome, QuotaExceeded)]


async def written(store: Store, more: int) -> None:
    """Waits until so many more tasks are stored than now."""
    target = await store.sql.fetchval("SELECT count(*) FROM tasks") + more

    async def is_reached() -> bool:
        return bool(await store.sql.fetchval("SELECT count(*) FROM tasks") >= target)

    await eventually(is_reached, f"{more} more tasks")


async def test_nothing_is_counted_until_a_quota_is_set_and_then_what_was_there_before(store: Store) -> None:
    usage = Usage(store.database)
    running = started(accepted_task())
    waiting = accepted_task()
    await store.put(running, waiting)
    assert not await usage.counted()
    assert await store.sql.fetchval("SELECT count(*) FROM quota_usage") == 0
    before = await usage.of("alice")
    assert before == Use(1, 1, len(running.submission) + len(waiting.submission), {"cpu": 10})
    await usage.begin()
    await store.put(accepted_task(submitter="bob"))
    assert await usage.of("alice") == before
    assert (await usage.of("bob")).queued == 1
    assert await usage.recount(repair=False) == []


async def test_writers_that_are_under_way_when_counting_begins_are_counted_too(store: Store) -> None:
    usage = Usage(store.database)
    async with open_store(store.url, node_id="node-b") as other, writing(store, other):
        await written(store, 200)
        await asyncio.gather(usage.begin(), Usage(other.database).begin())
        await written(store, 200)
    assert await usage.recount(repair=False) == []


async def test_a_node_that_was_lost_while_it_counted_is_made_up_for(store: Store) -> None:
    await store.put(accepted_task())
    await store.sql.execute("INSERT INTO quota_counting VALUES ('infinity')")
    await store.put(accepted_task())
    usage = Usage(store.database)
    assert not await usage.counted()
    assert (await usage.of("alice")).queued == 2
    await usage.begin()
    assert await usage.counted()
    assert (await usage.of("alice")).queued == 2
    assert await usage.recount(repair=False) == []


async def test_a_count_from_the_tasks_keeps_nobody_waiting(store: Store, quotas: Quotas) -> None:
    await store.put(accepted_task())
    await store.sql.execute("UPDATE quota_usage SET queued = 7")
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"

    async def waits_for_the_row() -> bool:
        return bool(await store.sql.fetchval(f"SELECT EXISTS ({waiting})"))

    async with store.sql.transaction():
        await store.sql.execute("SELECT FROM quota_usage FOR UPDATE")
        counting = asyncio.create_task(quotas.usage.recount())
        await eventually(waits_for_the_row, "the count is under way")
        async with asyncio.timeout(4):
            await store.put(accepted_task(submitter="bob"))
    assert await counting == ["alice"]
    assert await quotas.usage.recount(repair=False) == []


async def test_what_is_counted_wrong_is_corrected_while_others_write_and_correct(store: Store, quotas: Quotas) -> None:
    async with open_store(store.url, node_id="node-b") as other, writing(store, other):
        await written(store, 100)
        for _ in range(4):
            await store.sql.execute(COUNT_WRONG)
            await asyncio.gather(quotas.usage.recount(), Usage(other.database).recount())
    assert await quotas.usage.recount(repair=False) == []


async def test_fifty_at_once_at_the_last_place_over_two_replicas_let_one_in(store: Store, quotas: Quotas) -> None:
    await quotas.put("alice", TEN, "root")
    await store.put(*(accepted_task() for _ in range(9)))
    async with open_store(store.url, node_id="node-b") as other:
        found = await asyncio.gather(*(outcomes(each, [accepted_task() for _ in range(25)]) for each in (store, other)))
    refused = [outcome for each in found for outcome in each if outcome is not None]
    assert len(refused) == 49
    assert all(isinstance(outcome, QuotaExceeded) and outcome.policy == "queued" for outcome in refused)
    assert (await quotas.usage.of("alice")).queued == 10
    assert await store.sql.fetchval("SELECT count(*) FROM tasks") == 10
    assert await quotas.usage.recount(repair=False) == []


async def test_a_refusal_says_limit_and_use(store: Store, quotas: Quotas) -> None:
    await quotas.put("alice", TEN, "root")
    await store.put(*(accepted_task() for _ in range(10)))
    with pytest.raises(QuotaExceeded) as refused:
        await store.put(accepted_task())
    assert (refused.value.policy, refused.value.limit, refused.value.used) == ("queued", 10, 10)


async def test_others_in_the_same_batch_are_not_refused(store: Store, quotas: Quotas) -> None:
    await quotas.put("alice", Quota(queued=1), "root")
    mixed = [accepted_task(submitter=name) for name in ("alice", "bob", "alice", "carol", "alice")]
    found = await outcomes(store, mixed)
    assert [outcome is None for outcome in found] == [True, True, False, True, False]


async def test_a_default_is_for_those_for_whom_nothing_is_set(store: Store, quotas: Quotas) -> None:
    await quotas.put("bob", Quota(queued="unlimited"), "root")
    await quotas.put("carol", Quota(queued=2), "root")
    async with open_store(store.url, node_id="node-b", default_quota=Quota(queued=3)) as limited:
        names = ("alice", "bob", "carol")
        found = await outcomes(limited, [accepted_task(submitter=name) for name in names for _ in range(5)])
    assert [sum(outcome is None for outcome in found[first : first + 5]) for first in (0, 5, 10)] == [3, 5, 2]


async def test_what_was_not_written_does_not_count(store: Store, quotas: Quotas) -> None:
    task = accepted_task(message_id="one")
    await store.put(task)
    again = accepted_task(message_id="one")
    with pytest.raises(DuplicateMessage):
        await store.put(again)
    copy = accepted_task()
    await store.put(copy)
    await store.sql.execute("UPDATE tasks SET version = version + 1 WHERE task_id = $1", copy.task_id)
    copy.fail(datetime.now(UTC), Reason.CANCELLED, {"kind": "cancelled"})
    with pytest.raises(Conflict):
        await store.put(copy)
    assert (await quotas.usage.of("alice")).queued == 2
    assert await quotas.usage.recount(repair=False) == []


async def test_bytes_of_messages_and_results_are_counted_and_limited(store: Store, quotas: Quotas) -> None:
    task = started(accepted_task())
    size = len(task.submission)
    await quotas.put("alice", Quota(stored_bytes=2 * size + 10), "root")
    await store.put(task)
    text = '{"greeting":"grüß dich"}'
    task.complete(datetime.now(UTC), text, {})
    await store.put(task)
    assert (await quotas.usage.of("alice")).stored_bytes == size + len(text.encode())
    with pytest.raises(QuotaExceeded, match="stored_bytes"):
        await store.put(accepted_task())
    rejected = new_task()
    rejected.submit(datetime.now(UTC), valid=False)
    rejected.reject(datetime.now(UTC), {"kind": "validation_failed"})
    with pytest.raises(QuotaExceeded, match="stored_bytes"):
        await store.put(rejected)
    assert await quotas.usage.recount(repair=False) == []


async def test_starts_are_held_back_and_ends_never(store: Store, quotas: Quotas) -> None:
    await quotas.put("alice", Quota(running=2, queued=3), "root")
    tasks = [accepted_task() for _ in range(3)]
    await store.put(*tasks)
    found = await outcomes(store, [started(task) for task in tasks])
    assert refusals(found) == ["running"]
    for task in tasks[:2]:
        # Back into the queue, which is full by then: who has been let in is not put out.
        task.retry_later(datetime.now(UTC), in_a_while(), Reason.EXECUTION_ERROR, {"kind": "e"}, {})
    await store.put(*(accepted_task() for _ in range(2)))
    assert refusals(await outcomes(store, tasks[:2])) == []
    assert (await quotas.usage.of("alice")).queued == 5
    assert await quotas.usage.recount(repair=False) == []


async def test_what_is_held_is_limited_unit_by_unit(store: Store, quotas: Quotas) -> None:
    await quotas.put("alice", Quota(held=Resources(cpu=1, gpu=0)), "root")
    vectors = [{"cpu": 600, "memory_mb": 10**9}, {"cpu": 500}, {"cpu": 400}, {"gpu": 1000}, {"custom.licence": 1000}]
    tasks = [accepted_task(requested=vector) for vector in vectors]
    await store.put(*tasks)
    found = []
    for task in tasks:
        found += await outcomes(store, [started(task)])
    assert [isinstance(outcome, QuotaExceeded) for outcome in found] == [False, True, False, True, False]
    assert refusals(found) == ["held", "held"]
    held = {"cpu": 1000, "memory_mb": 10**9, "custom.licence": 1000}
    assert (await quotas.usage.of("alice")).held == held
    for task in (tasks[0], tasks[2], tasks[4]):
        task.complete(datetime.now(UTC), "{}", {})
    await store.put(tasks[0], tasks[2], tasks[4])
    assert (await quotas.usage.of("alice")).held == {}


async def test_a_task_that_starts_as_it_is_stored_counts_as_running_only(store: Store, quotas: Quotas) -> None:
    await quotas.put("alice", Quota(queued=0, running=1), "root")
    found = await outcomes(store, [started(accepted_task()) for _ in range(3)])
    assert refusals(found) == ["running", "running"]
    assert await quotas.usage.of("alice") == Use(0, 1, (await quotas.usage.of("alice")).stored_bytes, {"cpu": 10})


async def test_rows_of_use_that_are_gone_are_made_again(store: Store, quotas: Quotas) -> None:
    await store.put(accepted_task())
    await store.sql.execute("DELETE FROM quota_usage")
    await store.put(accepted_task())
    assert await quotas.usage.recount() == ["alice"]
    assert (await quotas.usage.of("alice")).queued == 2
    assert await quotas.usage.recount() == []


@pytest.fixture
async def replicas(store: Store) -> AsyncIterator[list[Store]]:
    async with open_store(store.url, node_id="node-b") as other:
        yield [store, other]


async def test_use_equals_a_count_of_the_tasks_after_any_history(replicas: list[Store], quotas: Quotas) -> None:
    """Random steps on random replicas, with rivals, duplicates and refusals among them."""
    dice = random.Random(4_711)
    for name in ("a", "b"):
        await quotas.put(name, Quota(queued=15, running=4, held=Resources(cpu=1), stored_bytes=60_000), "root")
    tasks: list[Task] = []
    for _ in range(40):
        changed: list[tuple[Store, Task]] = []
        for _ in range(dice.randint(1, 12)):
            replica = dice.choice(replicas)
            if not tasks or dice.random() < 0.4:
                message_id = f"message-{dice.randint(0, 150)}"
                vector = {"cpu": dice.choice([100, 300, 700])}
                task = accepted_task(submitter=dice.choice("abc"), message_id=message_id, requested=vector)
                changed.append((replica, started(task) if dice.random() < 0.2 else task))
            else:
                task = dice.choice(tasks)
                if all(task is not other for _, other in changed):
                    step(task, dice)
                    changed.append((replica, task))
        found = await asyncio.gather(
            *(replica.journal.commit(task.change()) for replica, task in changed), return_exceptions=True
        )
        for (_, task), outcome in zip(changed, found, strict=True):
            assert outcome is None or isinstance(outcome, QuotaExceeded | DuplicateMessage)
            if task in tasks and (outcome is not None or task.state.terminal):
                # Refused: what this process knows of the task is no longer what is stored.
                tasks.remove(task)
            elif task not in tasks and outcome is None and not task.state.terminal:
                tasks.append(task)
        assert await quotas.usage.recount(repair=False) == []
    for name in ("a", "b"):
        use = await quotas.usage.of(name)
        assert use.running <= 4
        assert use.held.get("cpu", 0) <= 1000


def step(task: Task, dice: random.Random) -> None:
    """One step that the task may take."""
    now = datetime.now(UTC)
    if task.state is State.EXECUTING:
        match dice.randint(0, 3):
            case 0:
                task.complete(now, '{"text":"' + "ü" * dice.randint(0, 50) + '"}', {})
            case 1:
                task.retry_later(now, in_a_while(), Reason.EXECUTION_ERROR, {"kind": "e"}, {})
            case 2:
                task.report_progress(now, 0.5, {})
            case _:
                task.fail(now, Reason.EXECUTION_ERROR, {"kind": "e"})
    elif dice.random() < 0.3:
        task.fail(now, Reason.CANCELLED, {"kind": "cancelled"})
    elif task.state is State.WAITING:
        task.request_resources(now)
        started(task)
    else:
        started(task)


async def test_what_is_erased_is_given_back_once(store: Store, quotas: Quotas) -> None:
    task = started(accepted_task())
    await store.put(task)
    task.complete(datetime.now(UTC), '{"text":"some"}', {})
    await store.put(task)
    erasures = Erasures(store.database)
    for _ in range(2):
        assert await erasures.erase(task.task_id, "root") is not None
        assert (await quotas.usage.of("alice")).stored_bytes == len("null")
    assert await quotas.usage.recount(repair=False) == []
