from datetime import datetime
from hashlib import sha256

import pytest

from app.protocol.history import Item, MessageName, Party, first_break
from app.protocol.states import State
from tests.api.caller import Caller, Json, details, message, sleeping

HAPPY = [
    ("SubmitTask", "submitter", "executor", "Submitted"),
    ("TaskAccepted", "executor", "submitter", "Validating"),
    ("RequestResources", "executor", "resource_manager", "ResourceAllocation"),
    ("ResourcesAllocated", "resource_manager", "executor", "ResourceAllocation"),
    ("ExecutionStarted", "executor", "submitter", "Executing"),
    ("ReleaseResources", "executor", "resource_manager", "Completing"),
    ("ResourcesReleased", "resource_manager", "executor", "Completing"),
    ("TaskCompleted", "executor", "submitter", "Completed"),
]


def test_the_history_has_the_protocols_messages_in_their_order(alice: Caller) -> None:
    task_id = alice.submit(message())
    alice.finished(task_id)
    items = alice.history(task_id)
    assert [(item["name"], item["sender"], item["recipient"], item["status"]) for item in items] == HAPPY
    assert [item["sequence"] for item in items] == list(range(1, 9))
    assert items[0]["message"]["type"] == "submit_task"
    assert items[-1]["message"] == alice.get(task_id).json()


def test_progress_stands_between_start_and_release(alice: Caller) -> None:
    task_id = alice.submit(message("sleep", {"seconds": 0.3}))
    done = alice.finished(task_id)
    names = [item["name"] for item in alice.history(task_id)]
    assert names[:5] == [name for name, *_ in HAPPY[:5]]
    assert set(names[5:-3]) == {"ProgressUpdate"}
    assert names[-3:] == [name for name, *_ in HAPPY[-3:]]
    assert details(done)["sequence"] == len(names)


def test_the_chain_verifies_by_the_protocols_own_check(alice: Caller) -> None:
    task_id = alice.submit(message("sleep", {"seconds": 0.2}))
    alice.finished(task_id)
    text = alice.get(task_id, "/messages").text
    items = [
        Item(
            item["sequence"],
            MessageName(item["name"]),
            Party(item["sender"]),
            Party(item["recipient"]),
            datetime.fromisoformat(item["recorded_at"]),
            State(item["status"]),
            exact,
            item["previous_hash"],
            item["hash"],
        )
        for item, exact in zip(alice.history(task_id), exact_messages(text), strict=True)
    ]
    assert first_break(task_id, items) is None
    altered = items[3]._replace(message=items[3].message.replace("0.01", "0.02"))
    assert first_break(task_id, [*items[:3], altered, *items[4:]]) == 4


def test_the_chain_verifies_by_a_few_lines_of_anyones_own(alice: Caller) -> None:
    task_id = alice.submit(message(parameters={"текст": "é"}))
    alice.finished(task_id)
    previous = "0" * 64
    for item, exact in zip(alice.history(task_id), exact_messages(alice.get(task_id, "/messages").text), strict=True):
        members = ("sequence", "name", "sender", "recipient", "recorded_at", "status")
        lines = [previous, task_id, *(str(item[name]) for name in members), sha256(exact.encode()).hexdigest()]
        assert item["previous_hash"] == previous
        previous = sha256("\n".join(lines).encode()).hexdigest()
        assert item["hash"] == previous


def exact_messages(page: str) -> list[str]:
    """The messages of a page as they were written: a parser would lose their exact text."""
    return [part.split(',"previous_hash":')[0] for part in page.split('"message":')[1:]]


@pytest.mark.parametrize("limit", [1, 3, 8, 200])
def test_pages_hold_every_item_once(alice: Caller, limit: int) -> None:
    task_id = alice.submit(message())
    alice.finished(task_id)
    seen: list[int] = []
    cursor: str | None = None
    while True:
        query = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
        answer: Json = alice.http.get(f"/v1/tasks/{task_id}/messages", params=query).json()
        seen += [item["sequence"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == list(range(1, 9))


def test_after_leaves_out_what_is_known(alice: Caller) -> None:
    task_id = alice.submit(message())
    alice.finished(task_id)
    assert [item["sequence"] for item in alice.history(task_id, after=6)] == [7, 8]
    assert alice.history(task_id, after=2_147_483_647) == []


@pytest.mark.parametrize(
    "query", ["after=-1", "after=2147483648", "after=x", "limit=0", "limit=201", "cursor=x", "order=1"]
)
def test_a_wrong_query_of_the_history_is_refused(alice: Caller, query: str) -> None:
    task_id = alice.submit(message())
    assert alice.get(task_id, f"/messages?{query}").status_code == 422


def test_the_result_alone(alice: Caller) -> None:
    task_id = alice.submit(message(parameters={"n": [1, 2]}))
    alice.finished(task_id)
    response = alice.get(task_id, "/result")
    assert (response.status_code, response.json()) == (200, {"n": [1, 2]})
    assert response.headers["etag"] == alice.get(task_id).headers["etag"]


@pytest.mark.usefixtures("licence_holder")
def test_there_is_no_result_before_the_end_and_none_of_a_failure(alice: Caller) -> None:
    task_id = alice.submit(sleeping(0))
    early = alice.get(task_id, "/result")
    assert early.status_code == 409
    assert early.json()["type"].endswith("not-finished")
    assert early.json()["task_status"] == "ResourceAllocation"
    assert early.headers["retry-after"] == "1"
    alice.cancel(task_id)
    late = alice.get(task_id, "/result")
    assert late.status_code == 409
    assert late.json()["type"].endswith("no-result")
    assert (late.json()["task_status"], late.json()["reason"]) == ("Failed", "cancelled")
    assert "retry-after" not in late.headers
