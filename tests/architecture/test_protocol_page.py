"""docs/protocol.md shows the tables of the protocol's core as they are, and its own check of a history works."""

import re
from datetime import UTC, datetime
from typing import Any

from app.protocol.history import ERASED, ROUTES, Item, digest_of
from app.protocol.messages import RetryPolicy
from app.protocol.reasons import Reason
from app.protocol.states import TRANSITIONS, State
from app.protocol.task import Task
from tests.support.source_tree import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def test_the_diagram_is_the_table_of_states() -> None:
    arrows = re.findall(r"^    (\S+) --> (\S+)$", PAGE, re.MULTILINE)
    drawn = {(source, target) for source, target in arrows if "[*]" not in (source, target)}
    assert drawn == {(str(source), str(target)) for source, targets in TRANSITIONS.items() for target in targets}
    assert {source for source, target in arrows if target == "[*]"} == {str(state) for state in State if state.terminal}


def test_the_messages_are_those_that_there_are() -> None:
    rows = re.findall(r"^\| (\w+) \| (submitter|executor|resource_manager) \| (\w+) \|", PAGE, re.MULTILINE)
    assert rows == [(str(name), str(sender), str(recipient)) for name, (sender, recipient) in ROUTES.items()]


def test_the_reasons_are_those_that_there_are() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [str(reason) for reason in Reason]


def history() -> tuple[str, list[Item]]:
    task = Task(
        task_id="01890000-0000-7000-8000-000000000000",
        message_id="task-123",
        idempotency_key="task-123",
        content_digest=b"",
        submitter="alice",
        type="echo",
        priority=1,
        submission='{"type":"submit_task","текст":"é"}',
        deadline=None,
        labels={},
        requested={"cpu": 1000},
        timeout_s=60,
        retry=RetryPolicy(),
        submitted_at=NOW,
    )
    task.submit(NOW, valid=True)
    task.accept(NOW)
    return task.task_id, list(task.change().items)


def shown(item: Item) -> dict[str, Any]:
    message = None if item.message == ERASED else item.message
    return {**item._asdict(), "message": message, "recorded_at": "2026-11-23T10:00:00.000000Z"}


def test_the_check_that_the_page_gives_finds_what_was_altered_left_out_or_moved() -> None:
    names: dict[str, Any] = {}
    (script,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(script, "docs/protocol.md", "exec"), names)
    first_break = names["first_break"]
    task_id, items = history()

    def check(found: list[Item]) -> int | None:
        result: int | None = first_break(task_id, [shown(item) for item in found], [item.message for item in found])
        return result

    assert len(items) == 3
    assert check(items) is None
    assert check([items[0], items[1]._replace(message="{}"), items[2]]) == 2
    assert check([items[0], items[1]._replace(status=State.FAILED), items[2]]) == 2
    assert check([items[0], items[2]]) == 2
    erased = items[1]._replace(message=ERASED, message_digest=digest_of(items[1].message))
    assert check([items[0], erased, items[2]]) is None
    assert check([items[0], erased._replace(message_digest="0" * 64), items[2]]) == 2
    assert check([items[1], items[0], items[2]]) == 1
