"""Messages to submit."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any


def moment(**span: float) -> str:
    """Now, and so much later."""
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


def message(message_id: str = "m-1", **specification: Any) -> dict[str, Any]:
    """A sound message; keywords go into its specification."""
    return {
        "type": "submit_task",
        "header": {"message_id": message_id, "timestamp": moment()},
        "body": {"task_specification": {"type": "echo", "parameters": {"a": 1}, **specification}, "priority": 1},
    }


def with_member(path: str, value: Any) -> dict[str, Any]:
    """A message in which the member at a JSON Pointer has this value."""
    changed = copy.deepcopy(message())
    *parents, name = path.split("/")[1:]
    place: Any = changed
    for parent in parents:
        place = place.setdefault(parent, {})
    place[name] = value
    return changed


def raw(value: Any) -> bytes:
    """As it goes over the wire."""
    return json.dumps(value).encode()
