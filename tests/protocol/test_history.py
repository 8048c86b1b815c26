"""The hash chain, against a second account of its formula, and every kind of tampering."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from app.protocol.history import GENESIS, ROUTES, Item, MessageName, Party, first_break, link
from app.protocol.states import State
from tests.storage.stored import new_task

NOW = datetime(2026, 5, 1, 12, 0, 0, 1, tzinfo=UTC)
TASK_ID = "01890000-0000-7000-8000-000000000001"


def history() -> list[Item]:
    task = new_task(task_id=TASK_ID, submitted_at=NOW, submission='{"text":"\\u0000 é \U0001f600"}')
    task.submit(NOW, valid=True)
    task.accept(NOW)
    task.allocate(NOW, "node-a")
    task.start(NOW)
    for step in range(4):
        task.report_progress(NOW + timedelta(seconds=step), step / 4, {"step": step})
    task.complete(NOW + timedelta(seconds=9), '{"n":12345678901234567890123}', {"cpu_s": 0.5})
    return list(task.change().items)


def test_a_whole_chain_is_whole() -> None:
    items = history()
    assert first_break(TASK_ID, items) is None
    assert items[0].previous_hash == GENESIS == "0" * 64
    assert [item.sequence for item in items] == list(range(1, len(items) + 1))
    assert first_break(TASK_ID, []) is None


def test_the_formula_as_the_docs_give_it() -> None:
    item = Item(
        7, MessageName.PROGRESS_UPDATE, Party.EXECUTOR, Party.SUBMITTER, NOW, State.EXECUTING, '{"é":1}', "a" * 64, ""
    )
    lines = [
        "a" * 64,
        TASK_ID,
        "7",
        "ProgressUpdate",
        "executor",
        "submitter",
        "2026-05-01T12:00:00.000001Z",
        "Executing",
        sha256('{"é":1}'.encode()).hexdigest(),
    ]
    assert link(TASK_ID, item) == sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize(
    "altered",
    [
        lambda item: item._replace(message=item.message + " "),
        lambda item: item._replace(message=item.message[::-1]),
        lambda item: item._replace(name=MessageName.ACKNOWLEDGE),
        lambda item: item._replace(sender=item.recipient),
        lambda item: item._replace(recipient=item.sender),
        lambda item: item._replace(recorded_at=item.recorded_at + timedelta(microseconds=1)),
        lambda item: item._replace(status=State.WAITING),
        lambda item: item._replace(sequence=item.sequence + 100),
        lambda item: item._replace(previous_hash="f" * 64),
        lambda item: item._replace(hash="f" * 64),
    ],
)
@pytest.mark.parametrize("position", [0, 5, -1])
def test_an_altered_item_is_named(altered: Callable[[Item], Item], position: int) -> None:
    items = history()
    sequence = items[position].sequence
    items[position] = altered(items[position])
    assert first_break(TASK_ID, items) == sequence


def test_an_item_altered_together_with_its_hash_breaks_the_next() -> None:
    items = history()
    forged = items[4]._replace(message='{"forged":true}')
    items[4] = forged._replace(hash=link(TASK_ID, forged))
    assert first_break(TASK_ID, items) == 6


def test_missing_reordered_inserted_and_foreign_items_are_found() -> None:
    whole = history()
    assert first_break(TASK_ID, whole[1:]) == 1
    assert first_break(TASK_ID, whole[:4] + whole[5:]) == 5
    assert first_break(TASK_ID, [*whole[:4], whole[5], whole[4], *whole[6:]]) == 5
    assert first_break(TASK_ID, [*whole[:4], whole[4], whole[4], *whole[5:]]) == 6
    assert first_break(TASK_ID.replace("1", "2"), whole) == 1


def test_a_cut_tail_is_not_seen_by_the_chain_alone() -> None:
    assert first_break(TASK_ID, history()[:-1]) is None


def test_every_message_has_its_route() -> None:
    assert set(ROUTES) == set(MessageName)
    assert all(sender is not recipient for sender, recipient in ROUTES.values())
