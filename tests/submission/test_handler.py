"""From a message to the journal: accepted, rejected, repeated, tried out, and many at once."""

import asyncio
import json
from typing import Any

import pytest

from app.protocol.messages import RetryPolicy
from app.protocol.states import State
from app.protocol.strict_json import ForbiddenJson, NotJson
from app.storage import journal
from app.storage.errors import Overloaded, StorageUnavailable
from app.submission.idempotency import KeyReused, content_digest
from app.submission.outcomes import InvalidTask, Submission
from app.task_types.registry import Registry
from tests.execution.node import Node, open_node
from tests.faults.proxy import Proxy
from tests.storage.stored import accepted_task
from tests.submission.conftest import CAPACITY
from tests.submission.messages import message, moment, raw, with_member
from tests.support.waiting import eventually


async def count(node: Node) -> int:
    return int(await node.sql.fetchval("SELECT count(*) FROM tasks"))


async def test_an_accepted_message_is_kept_exactly(node: Node) -> None:
    value = message(parameters={"big": 10**80, "text": "é \U0001f600"}, labels={"team": "a"}, timeout_s=5)
    sent = json.dumps(value, indent=3, ensure_ascii=False).encode()
    submission = await node.submission.submit(sent, "alice")
    assert not submission.replayed
    task = await node.task(submission.task_id)
    assert task.submission == sent.decode()
    assert (task.state, task.submitter, task.message_id) == (State.RESOURCE_ALLOCATION, "alice", "m-1")
    assert (task.labels, task.timeout_s, task.requested) == ({"team": "a"}, 5, {"cpu": 10, "memory_mb": 1000})
    told = json.loads(submission.status_json)
    assert told["body"]["status"] == "ResourceAllocation"
    assert told["header"]["reference_id"] == "m-1"
    assert await node.names(task.task_id) == ["SubmitTask", "TaskAccepted", "RequestResources"]


@pytest.mark.parametrize(
    ("named", "policy"),
    [
        ({}, RetryPolicy(max_attempts=3, initial_s=0.01, max_s=0.02)),
        ({"retry": {}}, RetryPolicy(max_attempts=3, initial_s=0.01, max_s=0.02)),
        ({"retry": {"max_attempts": 7}}, RetryPolicy(max_attempts=7, initial_s=0.01, max_s=0.02)),
        ({"retry": {"initial_s": 5, "max_s": 9}}, RetryPolicy(max_attempts=3, initial_s=5, max_s=9)),
    ],
)
async def test_what_the_retry_policy_does_not_name_is_the_services(
    node: Node, named: dict[str, Any], policy: RetryPolicy
) -> None:
    submission = await node.submission.submit(raw(message(**named)), "alice")
    task = await node.task(submission.task_id)
    assert task.retry == policy
    assert task.timeout_s == 60, "the type's own"


async def test_a_rejected_message_is_kept_with_all_that_is_wrong(node: Node) -> None:
    value = message(type="sleep", parameters={"seconds": -1}, resources={"gpu": 1})
    value["body"]["deadline"] = moment(days=-1)
    with pytest.raises(InvalidTask) as caught:
        await node.submission.submit(raw(value), "alice")
    pointers = {error.pointer for error in caught.value.errors}
    assert {"/body/task_specification/parameters/seconds", "/body/deadline"} <= pointers
    assert caught.value.task_id is not None
    task = await node.task(caught.value.task_id)
    assert (task.state, task.reason, task.type) == (State.REJECTED, "validation_failed", "sleep")
    kept = json.loads(task.error_json or "")
    assert {error["pointer"] for error in kept["errors"]} == pointers
    assert await node.names(task.task_id) == ["SubmitTask", "TaskRejected"]
    await node.check_at_rest()
    accepted = await node.submission.submit(raw(message()), "alice")
    assert not accepted.replayed, "its message_id is free"


async def test_what_was_accepted_is_found_again_though_it_would_be_no_longer(node: Node) -> None:
    """Its deadline has passed meanwhile. Who was not told that it was accepted must not be told that it was not."""
    value = message()
    value["body"]["deadline"] = moment(seconds=1)
    accepted = await node.submission.submit(raw(value), "alice")

    async def passed() -> bool:
        return moment() > str(value["body"]["deadline"])

    await eventually(passed, "the deadline has passed")
    again = await node.submission.submit(raw(value), "alice")
    assert (again.task_id, again.replayed) == (accepted.task_id, True)
    assert await count(node) == 1
    value["body"]["priority"] = 9
    with pytest.raises(InvalidTask):
        await node.submission.submit(raw(value), "alice")


@pytest.mark.parametrize(
    "value",
    [
        None, 1, "text", [1], {}, {"header": {}}, {"header": {"message_id": "m-1"}},
        with_member("/header/message_id", ""), with_member("/header/timestamp", "now"),
        with_member("/header/extra", 1),
    ],
)  # fmt: skip
async def test_a_message_whose_header_cannot_be_read_is_refused_and_not_kept(node: Node, value: Any) -> None:
    with pytest.raises(InvalidTask) as caught:
        await node.submission.submit(raw(value), "alice")
    assert caught.value.errors
    assert caught.value.task_id is None
    assert await count(node) == 0


@pytest.mark.parametrize(
    "value",
    [
        with_member("/body", []), with_member("/body", "x"), with_member("/body", None),
        with_member("/body/task_specification", 5), with_member("/body/task_specification/type", {"a": 1}),
        with_member("/body/task_specification/type", "x" * 100_000), with_member("/body/priority", 10**50),
        with_member("/body/priority", True), with_member("/type", "task_status"),
        with_member("/body/task_specification/labels", {"a": 1}), with_member("/body/deadline", 5),
        with_member("/body/task_specification/timeout_s", 10**99),
        with_member("/body/task_specification/resources", {"cpu": 99}),
        with_member("/body/task_specification/resources", {"custom": {"none": 1}}),
    ],
)  # fmt: skip
async def test_whatever_is_wrong_behind_a_sound_header_is_kept(node: Node, value: Any) -> None:
    with pytest.raises(InvalidTask) as caught:
        await node.submission.submit(raw(value), "alice")
    assert caught.value.task_id is not None
    task = await node.task(caught.value.task_id)
    assert task.state is State.REJECTED
    assert json.loads(task.status_json())["body"]["details"]["error"]["errors"]


async def test_what_is_no_json_or_forbidden_is_not_kept(node: Node) -> None:
    with pytest.raises(NotJson):
        await node.submission.submit(b"{", "alice")
    with pytest.raises(ForbiddenJson):
        await node.submission.submit(b'{"a":1,"a":2}', "alice")
    assert await count(node) == 0


# -- the same again --------------------------------------------------------------------------------------------------


async def test_the_same_message_again(node: Node) -> None:
    first = await node.submission.submit(raw(message()), "alice")
    again = message()
    again["header"]["timestamp"] = moment(seconds=1)
    reordered = dict(reversed(list(again.items())))
    for repetition in (again, reordered):
        answer = await node.submission.submit(json.dumps(repetition, indent=2).encode(), "alice")
        assert (answer.task_id, answer.replayed) == (first.task_id, True)
    with pytest.raises(KeyReused) as caught:
        await node.submission.submit(raw(message(parameters={"a": 2})), "alice")
    assert caught.value.task_id == first.task_id
    assert not (await node.submission.submit(raw(message(parameters={"a": 2})), "bob")).replayed
    assert await count(node) == 2


async def submitted(node: Node, sent: bytes) -> Submission:
    """As a client does it: a machine short of everything has no connection in time, and the message is sent again."""
    while True:
        try:
            return await node.submission.submit(sent, "alice")
        except StorageUnavailable:
            continue


async def test_fifty_at_once_make_one_task(node: Node) -> None:
    sent = raw(message())
    answers = await asyncio.gather(*(submitted(node, sent) for _ in range(50)))
    assert len({answer.task_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) <= 1, "none where the first was in doubt"
    assert await count(node) == 1
    other = [raw(message("m-2", parameters={"n": number})) for number in range(20)]
    outcomes = await asyncio.gather(*(submitted(node, each) for each in other), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["KeyReused"] * 19 + ["Submission"]


async def test_an_idempotency_key_takes_the_place_of_the_message_id(node: Node) -> None:
    first = await node.submission.submit(raw(message("m-1")), "alice", "key")
    again = await node.submission.submit(raw(message("m-2")), "alice", "key")
    assert (again.task_id, again.replayed) == (first.task_id, True)
    assert not (await node.submission.submit(raw(message("m-1")), "alice", "other key")).replayed
    with pytest.raises(KeyReused):
        await node.submission.submit(raw(message("m-1", parameters={})), "alice", "key")


def test_the_digest_is_of_the_content() -> None:
    assert content_digest({"a": 1, "b": [1, 2]}) == content_digest({"b": [1, 2], "a": 1})
    assert content_digest({"a": 1}) != content_digest({"a": 2})
    assert content_digest({"a": [1, 2]}) != content_digest({"a": [2, 1]})
    assert content_digest({"a": 10**80, "b": 1}) == content_digest({"b": 1, "a": 10**80})
    assert content_digest({"a": 10**80}) != content_digest({"a": 10**80 + 1})
    assert content_digest({"a": "1"}) != content_digest({"a": 1})


async def test_an_unknown_outcome_is_settled_by_a_repetition(database_url: str, registry: Registry) -> None:
    """The answer was lost after the commit: the client hears 503, repeats, and there is one task."""
    async with (
        Proxy(database_url) as proxy,
        open_node(proxy.url, registry, capacity=CAPACITY, sql_url=database_url, start=False) as node,
    ):
        await node.submission.submit(raw(message("m-0")), "alice")
        proxy.lose_next_answer = True
        with pytest.raises(StorageUnavailable):
            await node.submission.submit(raw(message("m-1")), "alice")
        answer = await node.submission.submit(raw(message("m-1")), "alice")
        assert answer.replayed
        assert await count(node) == 2


# -- many, and none --------------------------------------------------------------------------------------------------


async def test_a_batch_has_an_outcome_for_each_in_order(node: Node) -> None:
    values = [
        message("b-0"), message("b-1", type="nope"), message("b-0"), message("b-0", parameters={}), None,
        message("b-5"),
    ]  # fmt: skip
    outcomes = await node.submission.submit_batch(values, "alice")
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Submission", "InvalidTask", "Submission", "KeyReused", "InvalidTask", "Submission",
    ]  # fmt: skip
    first, again = outcomes[0], outcomes[2]
    assert isinstance(first, Submission)
    assert isinstance(again, Submission)
    assert (again.task_id, again.replayed) == (first.task_id, True)
    assert await count(node) == 3


async def test_a_large_batch_shares_its_commits(node: Node) -> None:
    commits = 0

    def heard(_done: object) -> None:
        nonlocal commits
        commits += 1

    node.journal.on_commit(heard)
    outcomes = await node.submission.submit_batch([message(f"b-{number}") for number in range(1000)], "alice")
    assert all(isinstance(outcome, Submission) for outcome in outcomes)
    assert await count(node) == 1000
    assert commits <= 5


async def test_a_dry_run_keeps_nothing(node: Node) -> None:
    answer = await node.submission.dry_run(raw(message(resources={"cpu": 2})), "alice")
    assert (answer["valid"], answer["type"], answer["replay_of"]) == (True, "echo", None)
    assert answer["resources"]["requested"] == {"cpu": 2, "memory_mb": 1}
    with pytest.raises(InvalidTask) as caught:
        await node.submission.dry_run(raw(message(type="nope")), "alice")
    assert caught.value.task_id is None
    assert await count(node) == 0
    first = await node.submission.submit(raw(message()), "alice")
    assert (await node.submission.dry_run(raw(message()), "alice"))["replay_of"] == first.task_id
    with pytest.raises(KeyReused):
        await node.submission.dry_run(raw(message(parameters={})), "alice")
    assert await count(node) == 1


async def test_where_too_much_waits_to_be_written_new_messages_are_turned_down_at_once(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also such as are not acceptable, for they would be kept too; what waits already is written."""
    monkeypatch.setattr(journal, "MOST_WAITING", 20)
    waiting = [node.journal.commit(accepted_task().change()) for _ in range(20)]
    for value in (message(), message(type="unknown")):
        with pytest.raises(Overloaded):
            await node.submission.submit(raw(value), "alice")
    await asyncio.gather(*waiting)
    assert await count(node) == 20
    await node.submission.submit(raw(message()), "alice")
