"""A user's own module of task types, named in TASK_EXECUTOR_TASK_TYPES."""

from collections.abc import Callable

from tests.e2e.client import submit, until_over
from tests.support.service import Service


async def test_own_kinds_run_beside_the_built_in_ones(start_service: Callable[..., Service]) -> None:
    service = start_service(task_types="tests.e2e.own_kinds", backoff_initial_s="0.01")
    async with service.client() as client:
        listed = (await client.get("/v1/task-types")).json()["items"]
        assert {"echo", "sleep", "data_processing", "sum_up", "refuse"} <= {kind["type"] for kind in listed}
        summed = await submit(client, "sum_up", {"numbers": [2**70, 1], "fail_before": 2})
        refused = await submit(client, "refuse")
        wrong = await client.post("/v1/tasks", json={"nonsense": True})
        assert wrong.status_code == 422
        body = await until_over(client, summed)
        assert body["status"] == "Completed"
        result = body["details"]["result"]
        assert (result["sum"], result["attempt"]) == (2**70 + 1, 2)
        assert result["process"] != service.process_id, "a plain function runs in a child"
        body = await until_over(client, refused)
        assert (body["status"], body["details"]["reason"]) == ("Failed", "execution_error")
        assert body["details"]["error"] == {"kind": "PermanentError", "message": "never"}
        assert body["details"]["attempt"] == 1
