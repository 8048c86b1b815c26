"""Content at rest: sealed for one task and one member, opened by the ring, and nothing of it left to read."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.protocol.history import MessageName
from app.protocol.messages import RetryPolicy
from app.protocol.reasons import Reason
from app.protocol.task import Task
from app.security.envelopes.contents import ContentKey, Contents
from app.security.envelopes.errors import ContentDamaged, KeyMissing
from app.security.envelopes.key_ring import KeyRing
from app.security.envelopes.opener import Opener

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
CANARY = "canary-7f3a"
SUBMISSION = json.dumps({"type": "submit_task", "body": {"task_specification": {"parameters": {"note": CANARY}}}})


def new_task(task_id: str = "019dafb4-9c71-7c4e-8d0b-6a1f2e3d4c5b") -> Task:
    return Task(
        task_id=task_id,
        message_id="m-1",
        idempotency_key="m-1",
        content_digest=b"",
        submitter="alice",
        type="echo",
        priority=1,
        submission="",
        deadline=None,
        labels={},
        requested={"cpu": 10},
        timeout_s=60,
        retry=RetryPolicy(),
        submitted_at=NOW,
    )


def sealed_task(contents: Contents) -> tuple[Task, ContentKey]:
    """Accepted, and at work."""
    task = new_task()
    key = contents.new_key(task)
    task.submission = key.seal("submission", SUBMISSION)
    task.submit(NOW, valid=True, as_sent='"a.b.c.d.e"')
    task.accept(NOW)
    task.allocate(NOW, "node")
    task.start(NOW)
    return task, key


def everything(task: Task) -> str:
    """All that the journal would write of it."""
    return repr(task) + "".join(item.message for item in task.change().items)


async def test_a_result_is_sealed_in_row_and_history_and_opens_for_who_has_the_ring(contents: Contents) -> None:
    task, key = sealed_task(contents)
    task.report_progress(NOW, 0.5, json.loads(key.seal("progress_details", json.dumps({"at": CANARY}))))
    task.complete(NOW, key.seal("result", json.dumps({"answer": CANARY})), {})
    opened = await contents.opened(task)
    assert json.loads(opened.result_json or "") == {"answer": CANARY}
    assert json.loads(opened.progress_details_json or "") == {"at": CANARY}
    change = dataclasses.replace(task).change()
    messages = [await contents.message(task, item) for item in change.items]
    assert messages[0].message == SUBMISSION
    assert json.loads(messages[-1].message)["body"]["details"]["result"] == {"answer": CANARY}
    assert [item.hash for item in messages] == [item.hash for item in change.items]
    assert CANARY not in everything(task)


async def test_an_error_keeps_its_kind_and_hides_the_rest(contents: Contents) -> None:
    task, key = sealed_task(contents)
    error = {"kind": "ValueError", "message": f"no such {CANARY}", "errors": [CANARY]}
    task.fail(NOW, Reason.EXECUTION_ERROR, key.seal_error(error))
    assert json.loads(task.error_json or "")["kind"] == "ValueError"
    assert json.loads((await contents.opened(task)).error_json or "") == error
    assert CANARY not in everything(task)


async def test_the_service_s_own_words_are_left_as_they_are(contents: Contents) -> None:
    task, _ = sealed_task(contents)
    task.fail(NOW, Reason.CANCELLED, {"kind": "cancelled", "message": "the task was cancelled"})
    assert (await contents.opened(task)).error_json == task.error_json


async def test_what_came_in_plain_is_never_opened(contents: Contents) -> None:
    task = new_task()
    task.submission, task.result_json = SUBMISSION, '{"sealed":"AAAA"}'
    assert await contents.opened(task) is task
    assert await contents.submission(task) == SUBMISSION


async def test_another_process_opens_it_with_the_same_directory(contents: Contents, ring: KeyRing) -> None:
    task, _ = sealed_task(contents)
    ring.rotate(datetime.now(UTC))
    other = KeyRing(ring.directory, overlap_s=0)
    other.load()
    opener = Opener(other)
    try:
        assert await Contents(other, opener).submission(task) == SUBMISSION
    finally:
        opener.close()


async def test_a_node_without_the_key_says_which(contents: Contents, tmp_path: Any) -> None:
    task, _ = sealed_task(contents)
    other = KeyRing(tmp_path / "others", overlap_s=0)
    other.load()
    opener = Opener(other)
    try:
        with pytest.raises(KeyMissing, match="give all nodes the same directory"):
            await Contents(other, opener).opened(task)
    finally:
        opener.close()


async def test_content_belongs_to_one_task_and_one_member(contents: Contents) -> None:
    task, key = sealed_task(contents)
    thief = dataclasses.replace(
        task, task_id="019dafb4-9c71-7c4e-8d0b-000000000000", result_json=key.seal("result", "1")
    )
    with pytest.raises(ContentDamaged):
        await contents.opened(thief)
    with pytest.raises(ContentDamaged):
        await contents.opened(dataclasses.replace(task, result_json=key.seal("error", "1")))
    with pytest.raises(ContentDamaged):
        await contents.opened(dataclasses.replace(task, result_json='{"sealed":"AAAA"}'))
    with pytest.raises(ContentDamaged):
        await contents.opened(dataclasses.replace(task, result_json='{"sealed":"?"}'))


async def test_an_exchanged_key_is_seen(contents: Contents) -> None:
    task, other = sealed_task(contents)[0], new_task()
    contents.new_key(other)
    with pytest.raises(ContentDamaged):
        await contents.submission(dataclasses.replace(task, encryption_json=other.encryption_json))


def test_the_digest_of_a_content_needs_the_key(contents: Contents) -> None:
    one, other = contents.new_key(new_task()), contents.new_key(new_task())
    assert one.digest(b"content") == one.digest(b"content")
    assert one.digest(b"content") != other.digest(b"content")


def test_nothing_of_a_key_is_shown(contents: Contents) -> None:
    key = contents.new_key(new_task())
    assert repr(key.secret) not in repr(key)


async def test_as_many_keys_are_remembered_as_are_allowed(ring: KeyRing, opener: Opener) -> None:
    contents = Contents(ring, opener, cached_keys=2)
    tasks = [new_task() for _ in range(4)]
    keys = [contents.new_key(task) for task in tasks]
    assert [(await contents.key_of(task)).secret for task in tasks] == [key.secret for key in keys]
    assert len(contents._known) == 2


async def test_a_whole_life_names_its_first_message_as_it_was_sent(contents: Contents) -> None:
    task, _ = sealed_task(contents)
    first = task.change().items[0]
    assert first.name is MessageName.SUBMIT_TASK
    assert first.message == '"a.b.c.d.e"'
