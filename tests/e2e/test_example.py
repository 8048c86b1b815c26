"""The protocol's own example: of today to its end, and as it is printed."""

import copy
from typing import Any

import httpx

from tests.e2e.client import from_now, until_over
from tests.support.service import Service

# Protocol 1.0.0, "Message Examples".
EXAMPLE: dict[str, Any] = {
    "type": "submit_task",
    "header": {"message_id": "task-123", "timestamp": "2024-03-21T10:00:00Z"},
    "body": {
        "task_specification": {
            "type": "data_processing",
            "parameters": {"input_source": "data_stream_1", "processing_steps": ["validate", "transform", "aggregate"]},
        },
        "priority": 1,
        "deadline": "2024-03-21T10:30:00Z",
    },
}


async def test_of_today_it_completes(service: Service) -> None:
    example = copy.deepcopy(EXAMPLE)
    example["header"]["timestamp"] = from_now()
    example["body"]["deadline"] = from_now(minutes=30)
    async with service.client() as client:
        response = await client.post("/v1/tasks", json=example)
        assert response.status_code == 202, response.text
        answer = response.json()
        assert (answer["type"], answer["header"]["reference_id"]) == ("task_status", "task-123")
        task_id = answer["body"]["details"]["task_id"]
        body = await until_over(client, task_id)
        assert (body["status"], body["progress"]) == ("Completed", 1.0), body
        result = (await client.get(f"/v1/tasks/{task_id}/result")).json()
        assert result == body["details"]["result"]
        assert "aggregate" in result
        again = await client.post("/v1/tasks", json=example)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
        assert again.json()["body"]["status"] == "Completed"


async def test_as_printed_it_is_rejected_by_name(service: Service) -> None:
    async with service.client() as client:
        response = await client.post("/v1/tasks", json=EXAMPLE)
        assert response.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        problem = response.json()
        assert [error["pointer"] for error in problem["errors"]] == ["/body/deadline"]
        assert "has passed" in problem["errors"][0]["detail"]
        kept = (await client.get(f"/v1/tasks/{problem['task_id']}")).json()
        assert (kept["body"]["status"], kept["body"]["details"]["reason"]) == ("Rejected", "validation_failed")
        corrected = copy.deepcopy(EXAMPLE)
        del corrected["body"]["deadline"]
        assert (await client.post("/v1/tasks", json=corrected)).status_code == 202, "its message_id is free"
