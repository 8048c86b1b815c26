"""What tests of webhooks look at: what came to a sink, and what the service says of it."""

import json

from tests.api.caller import Caller, Json
from tests.support.sink import Received
from tests.support.waiting import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def sequences(received: list[Received]) -> list[int]:
    """The messages that came, by their sequence."""
    return [json.loads(each.body)["body"]["details"]["sequence"] for each in received]


def recorded(caller: Caller, task_id: str) -> list[int]:
    """The acknowledgements that the history knows."""
    return [item["message"]["body"]["sequence"] for item in caller.history(task_id) if item["name"] == "Acknowledge"]


def acknowledge(caller: Caller, task_id: str, sequence: int) -> None:
    """Everything up to there has been received."""
    response = caller.http.post(f"/v1/tasks/{task_id}/acknowledgements", json={"sequence": sequence})
    assert response.status_code == 200, response.text


def delivery(caller: Caller, task_id: str, state: str, within_s: float = 30) -> Json:
    """The delivery log once the delivery is in this state."""

    def look() -> Json | None:
        response = caller.get(task_id, "/deliveries")
        assert response.status_code == 200, response.text
        standing: Json = response.json()
        return standing if standing["state"] == state else None

    return wait_until(look, f"delivery {state}", within_s) or {}
