"""What `list` asks for and shows."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from app.cli.list_ import _table
from tests.cli.conftest import Run
from tests.cli.scripted import Answer, ScriptedService, status_message


def page(*names: str, following: str | None = None) -> Answer:
    items = [status_message("Completed", task_id=name, submitted_at="2026-01-31T10:00:00.000000Z") for name in names]
    return Answer(body={"items": items, "next_cursor": following})


def queries(scripted: ScriptedService) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(asked.path).query) for asked in scripted.asked]


def test_filters_are_the_services(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(page())
    words = "list --status failed --status Waiting --type echo --label a=b --message-id m --submitter bob"
    assert run(*words.split()).code == 0
    [query] = queries(scripted)
    assert query == {
        "status": ["Failed", "Waiting"],
        "type": ["echo"],
        "label": ["a=b"],
        "message_id": ["m"],
        "submitter": ["bob"],
        "limit": ["50"],
    }


def test_pages_are_put_together(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(page("a", "b", following="c1"), page("c"))
    ended = run("list")
    assert [line.split()[0] for line in ended.out.splitlines()] == ["task", "a", "b", "c"]
    assert [query.get("cursor") for query in queries(scripted)] == [None, ["c1"]]
    assert ended.err == ""


def test_nothing_is_said_to_be_nothing(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(page())
    assert run("list")[:] == (0, "", "You have no tasks.\n")
    assert run("list", "--status", "Failed")[:] == (0, "", "There are no such tasks.\n")
    assert run("list", "--json")[:] == (0, "", "")


def test_the_limit_is_kept_and_more_is_mentioned(run: Run, scripted: ScriptedService) -> None:
    scripted.answer(page("a", "b", following="c1"))
    ended = run("list", "--limit", "2", "--json")
    assert [json.loads(line)["body"]["details"]["task_id"] for line in ended.out.splitlines()] == ["a", "b"]
    assert "--limit 4" in ended.err
    assert queries(scripted)[0]["limit"] == ["2"]


def test_why_a_task_waits_is_a_column_where_one_does(run: Run, scripted: ScriptedService) -> None:
    waiting = {"reason": "insufficient", "missing": {"cpu": 1}, "position": 4}
    items = [status_message("Completed"), status_message("ResourceAllocation", waiting=waiting)]
    scripted.answer(Answer(body={"items": items, "next_cursor": None}))
    heading, done, waits = run("list").out.splitlines()
    assert heading.rstrip().endswith("why it waits")
    assert waits.rstrip().endswith("waits for 1 cpu; 3 tasks are ahead")
    assert "waits" not in done


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (
            200,
            ["task", "type", "status", "priority", "attempt", "submitted", "message_id", "submitter", "why it waits"],
        ),
        (80, ["task", "type", "status", "submitted"]),
        (60, ["task", "type", "status"]),
        (40, ["task", "status"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns_and_no_ribbons(width: int, headings: list[str]) -> None:
    items = [
        status_message(
            "Executing", submitter="alice", attempt=1, message_id="m" * 32, submitted_at="2026-01-31T10:00:00.000000Z"
        ),
        status_message("Waiting", waiting={"reason": "insufficient", "missing": {"cpu": 1}, "position": 4}),
    ]
    assert [column.header for column in _table(items, width).columns] == headings


def test_a_state_that_there_is_not(run: Run, scripted: ScriptedService) -> None:
    ended = run("list", "--status", "done")
    assert ended.code == 2
    assert "Completed" in ended.err


@pytest.mark.parametrize("item", [{}, [], None, {"body": {"status": "Dancing"}}])
def test_a_list_of_something_else_is_a_sentence(run: Run, scripted: ScriptedService, item: object) -> None:
    scripted.answer(Answer(body={"items": [item], "next_cursor": None}))
    assert run("list").code == 3


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"3"])
def test_something_else_at_the_address_is_a_sentence(run: Run, scripted: ScriptedService, body: bytes) -> None:
    scripted.answer(Answer(200, body))
    assert run("list").code == 3
