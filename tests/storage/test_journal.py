"""The journal: one transaction for whatever waits, a fence around each task, and answers that are true."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import make_url

from app.protocol.history import Item
from app.protocol.messages import RetryPolicy
from app.protocol.quotas import NOTHING_SET, Quota
from app.protocol.reasons import Reason
from app.protocol.states import State
from app.protocol.task import Task
from app.storage.errors import Conflict, DuplicateMessage, QuotaExceeded, StorageUnavailable
from app.storage.journal import MAX_BATCH
from app.storage.queries import Queries, StatusReader
from app.storage.quotas import Quotas
from tests.faults.proxy import Proxy
from tests.storage.stored import Store, accepted_task, ids, in_a_while, new_task, open_store, started
from tests.support.waiting import eventually


def now() -> datetime:
    return datetime.now(UTC)


async def read(store: Store, task_id: str) -> Task:
    reader = StatusReader(store.database)
    task = await reader.get(task_id)
    await reader.close()
    assert task is not None
    return task


async def test_a_new_task_is_there_with_all_of_its_messages(store: Store) -> None:
    task = accepted_task()
    await store.journal.commit(task.change())
    row = await store.row(task.task_id)
    assert (row["state"], row["version"], row["sequence"]) == ("ResourceAllocation", 1, 3)
    assert [item.name for item in await store.items(task.task_id)] == ["SubmitTask", "TaskAccepted", "RequestResources"]
    await store.check_whole([task.task_id])


async def test_every_member_comes_back_as_it_went(store: Store) -> None:
    task = started(
        accepted_task(
            labels={"team": "Zürich", "a": "'\"\\"},
            requested={"cpu": 1500, "memory_mb": 64_000, "custom.licence": 1},
            deadline=in_a_while(3600),
            retry=RetryPolicy(max_attempts=7, initial_s=0.5, max_s=9),
            retry_of="01890000-0000-7000-8000-000000000000",
            priority=-32768,
            timeout_s=0.25,
        )
    )
    task.report_progress(now(), 0.25, {"stage": "half", "big": 2**80})
    task.retry_later(
        now(), in_a_while(), Reason.EXECUTION_ERROR, {"kind": "E", "message": "\x00 \U0001f600"}, {"cpu_s": 1.5}
    )
    await store.put(task)
    fresh = await read(store, task.task_id)
    same = [name for name in Task.__dataclass_fields__ if not name.startswith("_") and name != "identity_json"]
    assert {name: getattr(fresh, name) for name in same} == {name: getattr(task, name) for name in same}
    assert json.loads(fresh.status_json()) == json.loads(task.status_json())


async def test_what_waits_is_written_together(store: Store) -> None:
    """A change goes at once; what comes in while its commit is under way makes the next batch."""
    first = store.journal.commit(accepted_task().change())
    await eventually(lambda: _seen(store.journal.backlog == 0), "the first batch under way")
    await store.put(*[accepted_task() for _ in range(300)])
    assert first.done()
    assert store.batches == [1, 300]


async def test_a_batch_has_a_limit(store: Store) -> None:
    await store.put(*[accepted_task() for _ in range(MAX_BATCH + 2)])
    assert store.batches == [MAX_BATCH, 2]


async def test_changes_of_one_task_fold_into_one_row(store: Store) -> None:
    task = accepted_task()
    steps = [store.journal.commit(task.change())]
    started(task)
    steps.append(store.journal.commit(task.change()))
    task.complete(now(), "{}", {})
    steps.append(store.journal.commit(task.change()))
    await asyncio.gather(*steps)
    assert store.batches == [1]
    assert (await store.row(task.task_id))["version"] == 3
    assert len(await store.items(task.task_id)) == 8
    await store.check_whole([task.task_id])


async def test_a_change_is_written_as_it_stood_when_it_came_in(store: Store) -> None:
    """The task may be stepped on while its change waits; only a further change writes that."""
    task = accepted_task()
    committed = store.journal.commit(task.change())
    started(task)
    await committed
    assert (await store.row(task.task_id))["state"] == "ResourceAllocation"
    await store.check_whole([task.task_id])


async def test_a_stale_change_writes_neither_row_nor_history(store: Store) -> None:
    task = accepted_task()
    await store.put(task)
    zombie, successor = await read(store, task.task_id), await read(store, task.task_id)
    await store.put(started(successor, "node-b"))
    before = await store.items(task.task_id)
    with pytest.raises(Conflict):
        await store.journal.commit(started(zombie).change())
    assert await store.items(task.task_id) == before
    assert (await store.row(task.task_id))["lease_owner"] == "node-b"


async def test_of_two_rivals_in_one_batch_one_wins(store: Store) -> None:
    """Two cancels at once read the same version: only one of them may be recorded."""
    task = accepted_task()
    await store.put(task)
    rivals = [await read(store, task.task_id) for _ in range(5)]
    outcomes = []
    for number, rival in enumerate(rivals):
        rival.request_cancel(now(), f"rival-{number}")
        rival.fail(now(), Reason.CANCELLED, {"kind": "cancelled"})
        outcomes.append(store.journal.commit(rival.change()))
    answers = await asyncio.gather(*outcomes, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), Conflict, Conflict, Conflict, Conflict]
    await store.check_whole([task.task_id])
    assert [item.name for item in await store.items(task.task_id)][-2:] == ["CancelTask", "TaskFailed"]


async def test_behind_a_stale_rival_the_valid_one_is_written(store: Store) -> None:
    task = accepted_task()
    await store.put(task)
    zombie = await read(store, task.task_id)
    task.lease_owner = "node-a"
    await store.put(task)
    valid = await read(store, task.task_id)
    stale = store.journal.commit(started(zombie, "node-z").change())
    good = store.journal.commit(started(valid).change())
    with pytest.raises(Conflict):
        await stale
    await good
    assert (await store.row(task.task_id))["state"] == "Executing"
    await store.check_whole([task.task_id])


@pytest.mark.parametrize("together", [True, False])
async def test_a_key_is_used_once(store: Store, together: bool) -> None:
    first, second = accepted_task(message_id="same"), accepted_task(message_id="same")
    other = accepted_task(message_id="same", submitter="bob")
    if not together:
        await store.put(first)
    changes = [first, second, other] if together else [second, other]
    answers = await asyncio.gather(*[store.journal.commit(task.change()) for task in changes], return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [DuplicateMessage]
    assert await store.sql.fetchval("SELECT count(*) FROM tasks WHERE message_id = 'same'") == 2
    assert await store.items(second.task_id) == []
    await store.check_whole(ids([first, other]))


async def test_a_rejected_message_leaves_its_key_free(store: Store) -> None:
    rejected = new_task(message_id="same")
    rejected.submit(now(), valid=False)
    rejected.reject(now(), {"kind": "validation_failed"})
    await store.put(rejected)
    await store.put(accepted_task(message_id="same"))
    assert await store.sql.fetchval("SELECT count(*) FROM tasks WHERE message_id = 'same'") == 2


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param({"submitter": "a\x00b"}, id="refused by Postgres: NUL"),
        pytest.param({"submitter": "\ud800"}, id="refused by the driver: half a character"),
        pytest.param({"priority": 100_000}, id="refused by the driver: out of range"),
        pytest.param({"submission": "{"}, id="refused by Postgres: not JSON"),
        pytest.param({"timeout_s": None}, id="refused by Postgres: missing"),
    ],
)
async def test_poison_fails_alone(store: Store, poison: dict[str, object]) -> None:
    good = [accepted_task() for _ in range(4)]
    bad = accepted_task()
    for name, value in poison.items():
        setattr(bad, name, value)
    changes = [store.journal.commit(task.change()) for task in [*good[:2], bad, *good[2:]]]
    answers = await asyncio.gather(*changes, return_exceptions=True)
    assert [answer is None for answer in answers] == [True, True, False, True, True]
    assert not isinstance(answers[2], StorageUnavailable), "it would be tried again for ever"
    await store.check_whole(ids(good))
    assert await store.items(bad.task_id) == []


async def test_exact_text_survives(store: Store) -> None:
    text = '{ "n": 123456789012345678901234567890, "x" : 1.10, "x2": 1E400, "s": "\\u0000 \\u00e9 é \\ud83d\\ude00" }'
    task = started(accepted_task(submission=text))
    task.complete(now(), '{"big": 99999999999999999999999999999999999999.5000}', {})
    await store.put(task)
    assert (await store.items(task.task_id))[0].message == text
    fresh = await read(store, task.task_id)
    assert fresh.submission == text
    assert fresh.result_json == '{"big": 99999999999999999999999999999999999999.5000}'
    items = await Queries(store.database).messages(fresh, 0, 200)
    assert items == await store.items(task.task_id), "the pool's connections read text as well"
    await store.check_whole([task.task_id])


async def test_listeners_hear_of_what_was_written_and_nothing_else(store: Store) -> None:
    heard: list[tuple[str, int]] = []

    def listen(done: list[tuple[Task, list[Item]]]) -> None:
        heard.extend((task.task_id, len(items)) for task, items in done)

    store.journal.on_commit(listen)  # type: ignore[arg-type]  # a list is a sequence
    task, duplicate = accepted_task(message_id="same"), accepted_task(message_id="same")
    await store.put(task)
    with pytest.raises(DuplicateMessage):
        await store.put(duplicate)
    assert heard == [(task.task_id, 3)]


async def test_a_broken_listener_does_not_make_a_commit_fail(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_done: object) -> None:
        raise RuntimeError("broken listener")

    heard: list[object] = []
    store.journal.on_commit(broken)
    store.journal.on_commit(heard.append)
    task = accepted_task()
    await store.put(task)
    assert len(heard) == 1
    assert "a listener to commits failed" in caplog.text
    await store.check_whole([task.task_id])


async def test_close_writes_what_waits(database_url: str) -> None:
    tasks = [accepted_task() for _ in range(50)]
    async with open_store(database_url) as store:
        changes = [store.journal.commit(task.change()) for task in tasks]
        await store.journal.close()
        assert all(change.done() and change.exception() is None for change in changes)
        await store.check_whole(ids(tasks))


# -- a database that goes away ---------------------------------------------------------------------------------------


async def test_an_outage_is_told_as_one_and_waited_out_where_asked(database_url: str) -> None:
    async with Proxy(database_url) as proxy, open_store(proxy.url, sql_url=database_url) as store:
        task = accepted_task()
        await store.put(task)
        proxy.away = True
        proxy.cut()
        with pytest.raises(StorageUnavailable):
            await store.put(accepted_task())
        surely = asyncio.create_task(store.journal.commit_surely(started(task).change()))
        with pytest.raises(StorageUnavailable):
            await store.put(accepted_task())
        assert not surely.done()
        proxy.away = False
        await surely
        await store.check_whole([task.task_id])
        assert (await store.row(task.task_id))["state"] == "Executing"


async def test_an_answer_lost_after_the_commit_is_recognised(database_url: str) -> None:
    async with Proxy(database_url) as proxy, open_store(proxy.url, sql_url=database_url) as store:
        heard: list[object] = []
        task = accepted_task()
        await store.put(task)
        store.journal.on_commit(heard.append)
        proxy.lose_next_answer = True
        await store.journal.commit_surely(started(task).change())
        assert proxy.answers_lost == 1
        assert len(heard) == 1, "whoever waits for news has to hear of it"
        assert (await store.row(task.task_id))["version"] == 2
        task.complete(now(), "{}", {})
        await store.journal.commit_surely(task.change())
        await store.check_whole([task.task_id])
        assert len(await store.items(task.task_id)) == 8


async def test_a_lease_lost_during_an_outage_is_still_a_conflict(database_url: str) -> None:
    async with Proxy(database_url) as proxy, open_store(proxy.url, sql_url=database_url) as store:
        task = accepted_task()
        await store.put(task)
        proxy.away = True
        proxy.cut()
        surely = asyncio.create_task(store.journal.commit_surely(started(task).change()))
        await eventually(lambda: _seen(store.batches is not None and not surely.done()), "the first try")
        async with open_store(database_url, node_id="node-b") as other:
            await other.put(started(await read(other, task.task_id), "node-b"))
        proxy.away = False
        with pytest.raises(Conflict):
            await surely
        await store.check_whole([task.task_id])


async def test_a_start_whose_answer_was_lost_is_not_refused_for_its_own_quota(database_url: str) -> None:
    """Tried again it would be one more than may run, but it is the very one that runs already."""
    async with Proxy(database_url) as proxy, open_store(proxy.url, sql_url=database_url) as store:
        await Quotas(store.database, NOTHING_SET).put("alice", Quota(running=1), by="admin")
        task = accepted_task()
        await store.put(task)
        proxy.lose_next_answer = True
        await store.journal.commit_surely(started(task).change())
        assert proxy.answers_lost == 1
        assert (await store.row(task.task_id))["state"] == "Executing"
        another = accepted_task()
        await store.put(another)
        with pytest.raises(QuotaExceeded):
            await store.journal.commit_surely(started(another).change())


# A sequence counts what is rolled back too: only the first statement that comes here is refused.
BREAK_ONCE = """
CREATE SEQUENCE tries;
CREATE FUNCTION break_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('tries') = 1 THEN
        RAISE EXCEPTION 'broken' USING ERRCODE = '{code}';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER break_once AFTER UPDATE ON tasks FOR EACH STATEMENT EXECUTE FUNCTION break_once()"""


@pytest.mark.parametrize("code", ["40P01", "40001", "55P03"])
async def test_what_another_transaction_stood_in_the_way_of_is_made_again(store: Store, code: str) -> None:
    """Postgres ends one of two who wait for each other: nothing of it was written, so it is simply repeated."""
    task = accepted_task()
    await store.put(task)
    await store.sql.execute(BREAK_ONCE.format(code=code))
    await store.put(started(task))
    assert await store.sql.fetchval("SELECT last_value FROM tries") == 2
    await store.check_whole([task.task_id])


async def test_the_fence_holds_whatever_isolation_the_database_is_set_to(store: Store) -> None:
    """Of two nodes that write to one task at once the later finds it changed; it is not told of a failure."""
    await store.sql.execute(
        f"ALTER DATABASE {make_url(store.url).database} SET default_transaction_isolation = 'serializable'"
    )
    async with open_store(store.url) as one, open_store(store.url, node_id="node-b") as two:
        for _ in range(20):
            task = accepted_task()
            await one.put(task)
            rivals = [(node, await read(node, task.task_id)) for node in (one, two)]
            answers = await asyncio.gather(
                *(node.journal.commit(started(rival, node.leases.node_id).change()) for node, rival in rivals),
                return_exceptions=True,
            )
            assert sorted(map(str, map(type, answers))) == sorted(map(str, (type(None), Conflict)))


async def _seen(what: bool) -> bool:
    return what


async def test_a_connection_in_doubt_is_not_used_again(database_url: str) -> None:
    """After each kind of cut, the next commit is right: no late answer is taken for another's."""
    async with Proxy(database_url) as proxy, open_store(proxy.url, sql_url=database_url) as store:
        in_doubt: list[Task] = []
        await store.put(accepted_task())
        for task in [accepted_task() for _ in range(20)]:
            proxy.lose_next_answer = True
            with pytest.raises(StorageUnavailable):
                await store.put(task)
            # On a slow machine the answer that got lost may be one to the question whether the database is there.
            if await store.sql.fetchval("SELECT count(*) FROM tasks WHERE task_id = $1", task.task_id):
                in_doubt.append(task)
                with pytest.raises(DuplicateMessage):
                    await store.put(accepted_task(message_id=task.message_id))
        assert in_doubt
        await store.check_whole(ids(in_doubt))


# -- many at once ----------------------------------------------------------------------------------------------------


async def _live(store: Store, number: int, draw: random.Random) -> str:
    """One task through its life, with a rival now and then that must not get through."""
    task = accepted_task(message_id=f"writer-{number}")
    await store.journal.commit(task.change())
    for attempt in range(1, 4):
        if task.state is State.WAITING:
            task.request_resources(now())
        started(task)
        await store.journal.commit(task.change())
        if draw.random() < 0.3:
            rival = await read(store, task.task_id)
            rival.version -= 1
            rival.loaded().report_progress(now(), 0.5, {})
            with pytest.raises(Conflict):
                await store.journal.commit(rival.change())
        for step in range(draw.randrange(3)):
            task.report_progress(now(), step / 3, {"attempt": attempt})
            await store.journal.commit(task.change())
        if attempt < 3 and draw.random() < 0.5:
            task.retry_later(now(), now() + timedelta(0), Reason.EXECUTION_ERROR, {"kind": "E"}, {})
            await store.journal.commit(task.change())
        else:
            break
    task.complete(now(), json.dumps({"number": number}), {})
    await store.journal.commit(task.change())
    return task.task_id


async def test_row_and_history_never_disagree(store: Store) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure, to repeat it
    draw = random.Random(seed)
    task_ids = await asyncio.gather(*(_live(store, number, random.Random(draw.random())) for number in range(200)))
    await store.check_whole(task_ids)
    assert await store.sql.fetchval("SELECT count(*) FROM tasks WHERE state = 'Completed'") == 200
    assert max(store.batches) > 20, "writers at once share commits"


async def test_heartbeats_and_commits_do_not_lock_each_other_out(store: Store) -> None:
    tasks = [started(accepted_task()) for _ in range(120)]
    await store.put(*tasks)
    backwards = ids(tasks)[::-1]

    async def beat() -> None:
        for _ in range(30):
            held = await store.leases.extend(backwards)
            assert held.task_ids == set(backwards)

    async def report() -> None:
        for step in range(30):
            order = random.sample(tasks, len(tasks))
            for task in order:
                task.report_progress(now(), step / 30, {})
            await asyncio.gather(*[store.journal.commit(task.change()) for task in order])

    await asyncio.gather(beat(), report())
    name = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    await store.sql.execute("SELECT pg_stat_clear_snapshot()")
    assert await store.sql.fetchval(name) == 0
    await store.check_whole(ids(tasks))


async def test_two_journals_with_the_same_keys_do_not_lock_each_other_out(database_url: str) -> None:
    async with open_store(database_url) as one, open_store(database_url, node_id="node-b") as two:
        for round_number in range(10):
            keys = [f"{round_number}-{number}" for number in range(60)]
            attempts = [
                store.journal.commit(accepted_task(message_id=key).change())
                for store in (one, two)
                for key in random.sample(keys, len(keys))
            ]
            answers = await asyncio.gather(*attempts, return_exceptions=True)
            assert sum(answer is None for answer in answers) == 60
            assert {type(answer) for answer in answers if answer is not None} == {DuplicateMessage}
        assert await one.sql.fetchval("SELECT count(*) FROM tasks") == 600
        assert await one.sql.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
