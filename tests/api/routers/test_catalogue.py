import jsonschema
import pytest

from tests.api.caller import Caller, message


def test_every_kind_of_task_is_described_with_examples_that_fit_its_schema_and_are_accepted(alice: Caller) -> None:
    page = alice.http.get("/v1/task-types").json()
    assert [kind["type"] for kind in page["items"]] == ["echo", "sleep", "http_request", "data_processing"]
    assert page["next_cursor"] is None
    for kind in page["items"]:
        assert kind["description"]
        assert kind["example"] == kind["examples"][0]
        for example in kind["examples"]:
            jsonschema.validate(example, kind["parameters_schema"], jsonschema.Draft202012Validator)
            alice.cancel(alice.submit(message(kind["type"], example)))
        assert alice.http.get(f"/v1/task-types/{kind['type']}").json() == kind


@pytest.mark.parametrize("name", ["nothing", "Echo", "%00", "echo%2F..", "x" * 1000])
def test_a_kind_that_there_is_not(alice: Caller, name: str) -> None:
    assert alice.http.get(f"/v1/task-types/{name}").status_code == 404


def test_resources_add_up(alice: Caller, licence_holder: str) -> None:
    answer = alice.http.get("/v1/resources").json()
    assert answer["capacity"] == {"cpu": 4, "memory_mb": 4096, "custom": {"licence": 1}}
    assert answer["allocated"]["custom"] == {"licence": 1}
    for unit in ("cpu", "memory_mb"):
        assert answer["free"][unit] + answer["allocated"][unit] == pytest.approx(answer["capacity"][unit])
    assert len(answer["nodes"]) == 1
    assert answer["nodes"][0]["running"] == answer["running"] >= 1
