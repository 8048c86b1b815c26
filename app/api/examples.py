"""Examples of what can be submitted: the protocol's own, one for each kind of task, and one with every member.

Served, they are of the moment: a message_id of its own, and a deadline a day ahead, so that each of them works as it
stands. In the repository's openapi.json they are timeless: a time in the past and no deadline, which works for ever.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from app.task_types.definition import TaskType

SUBMIT = "submit."
BATCH = "batch."
ACKNOWLEDGE = "acknowledge."
RETRY = "retry."
ENVELOPES = "envelope."
QUOTA = "quota."
REVOKE = "revoke."
CLAIM, PROGRESS, COMPLETED, FAILED = "claim.", "progress.", "completed.", "failed."
REDELIVER = "redeliver."
ADMIN_REDELIVER = "admin-redeliver."
SIGNING = "webhook-signing."

PRINTED = datetime(2024, 3, 21, 10, 0, tzinfo=UTC)
"""The timestamp of the example in the protocol."""
PROTOCOL_PARAMETERS = {"input_source": "data_stream_1", "processing_steps": ["validate", "transform", "aggregate"]}
CONDITIONS = {"http_request": "Failed unless the operator allows its host"}
"""What has to be said of the examples of a kind: they are accepted everywhere, and do not end well everywhere."""
DEADLINE_AHEAD = timedelta(days=1)
"""The protocol's example gives half an hour; a page of documentation may stay open for longer than that."""

Example = dict[str, Any]

_ENVELOPE = (
    "eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoi4oCmIiwic3ViIjoiYWxpY2UifQ."
    "ZW5jcnlwdGVkIGtleQ.dmVjdG9yIG9mIDEy.Y2lwaGVydGV4dA.dGFnIG9mIHNpeHRlZW4_"
)


def components(kinds: Iterable[TaskType], now: datetime | None) -> dict[str, Example]:
    """Every example as components/examples has it, for the time `now` (UTC), or timeless."""
    submissions = _submissions(list(kinds), now)
    examples = {SUBMIT + name: example for name, example in submissions.items()}
    examples[BATCH + "two"] = {
        "summary": "Two messages at once",
        "value": {"messages": [example["value"] for example in list(submissions.values())[:2]]},
    }
    examples[ACKNOWLEDGE + "first"] = {"summary": "The first message has been received", "value": {"sequence": 1}}
    examples[ENVELOPES + "compact"] = {"summary": "The form of a compact JWE (docs/encryption.md)", "value": _ENVELOPE}
    examples[RETRY + "as-it-was"] = {"summary": "The same once more", "value": {}}
    examples[RETRY + "sooner"] = {
        "summary": "With another priority and more time",
        "value": {"priority": 0, "timeout_s": 600},
    }
    examples[QUOTA + "usual"] = {
        "summary": "Limits of every sort, and twice the share of others",
        "value": {
            "queued": 1000,
            "running": 4,
            "held": {"cpu": 2, "memory_mb": 4096},
            "stored_bytes": 1_000_000_000,
            "rate": "600/minute",
            "weight": 2,
        },
    }
    examples[REVOKE + "subject"] = {"summary": "Everything of one subject", "value": {"subject": "mallory"}}
    examples[REVOKE + "token"] = {
        "summary": "One token that has leaked",
        "value": {"token_id": "7c1f0a4be07b4f6f9d1f6d6b6a1c2d3e"},
    }
    return {**examples, **_EXECUTIONS, **_of_webhooks()}


_EXECUTIONS: dict[str, Example] = {
    CLAIM + "one": {"summary": "One task, waiting for it", "value": {"limit": 1, "wait_s": 20}},
    CLAIM + "several": {
        "summary": "As many as fit",
        "value": {"resources": {"cpu": 4, "memory_mb": 8192}, "limit": 10},
    },
    PROGRESS + "half": {"summary": "Half way", "value": {"progress": 0.5, "details": {"page": 7}}},
    COMPLETED + "result": {"summary": "A result", "value": {"result": {"pages": 14}, "used": {"cpu_s": 2.5}}},
    FAILED + "error": {
        "summary": "Another attempt may help",
        "value": {"error": {"kind": "OutOfPaper", "message": "tray 2 is empty"}},
    },
}


def _of_webhooks() -> dict[str, Example]:
    task_id = "019dafb4-9c71-7c4e-8d0b-6a1f2e3d4c5b"
    return {
        REDELIVER + "all": {"summary": "Every message", "value": {}},
        REDELIVER + "from": {"summary": "From the second message on", "value": {"sequence": 2}},
        ADMIN_REDELIVER + "dead": {"summary": "All that were given up", "value": {"state": "dead"}},
        ADMIN_REDELIVER + "tasks": {"summary": "Those of some tasks", "value": {"task_ids": [task_id]}},
        SIGNING + "next": {"summary": "The next one; the old one signs for a day more", "value": {}},
        SIGNING + "at-once": {"summary": "In place of one that leaked", "value": {"overlap_s": 0}},
    }


def _submissions(kinds: list[TaskType], now: datetime | None) -> dict[str, Example]:
    found = {"protocol": _example("task-123", "The protocol's own example", _specification(), now, deadline=True)}
    for kind in kinds:
        others = [parameters for parameters in kind.examples if parameters != PROTOCOL_PARAMETERS]
        for number, parameters in enumerate(others, 1):
            name = kind.name if len(others) == 1 else f"{kind.name}-{number}"
            specification = {"type": kind.name, "parameters": parameters}
            summary = f"A task of type {kind.name}" + (f", example {number}" if len(others) > 1 else "")
            summary += f" ({CONDITIONS[kind.name]})" if kind.name in CONDITIONS else ""
            found[component_name(name)] = _example(name, summary, specification, now)
    if any(kind.name == "echo" for kind in kinds):
        found["every-member"] = _example("every-member", "Every member that there is", _full(), now, deadline=True)
    return found


def _example(
    name: str, summary: str, specification: dict[str, Any], now: datetime | None, *, deadline: bool = False
) -> Example:
    moment = now or PRINTED
    body: dict[str, Any] = {"task_specification": specification, "priority": 1}
    if deadline and now is not None:
        body["deadline"] = _wire(now + DEADLINE_AHEAD)
    header = {
        "message_id": name if now is None else f"{name}-{now:%Y%m%dT%H%M%SZ}",
        "timestamp": _wire(moment),
    }
    return {"summary": summary, "value": {"type": "submit_task", "header": header, "body": body}}


def _specification() -> dict[str, Any]:
    return {"type": "data_processing", "parameters": PROTOCOL_PARAMETERS}


def _full() -> dict[str, Any]:
    return {
        "type": "echo",
        "parameters": {"greeting": "hello"},
        "resources": {"cpu": 0.5, "memory_mb": 16},
        "timeout_s": 60,
        "retry": {"max_attempts": 3, "backoff": "exponential", "initial_s": 1, "max_s": 60},
        "labels": {"team": "search", "purpose": "trial"},
    }


def _wire(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def component_name(name: str) -> str:
    """A name as OpenAPI allows it for a component."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name)
