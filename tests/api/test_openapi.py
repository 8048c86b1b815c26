"""The OpenAPI document: complete, consistent, the same each time it is made, and true of what the service answers."""

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import BaseModel

from app.api.conflicts import CONFLICTS
from app.api.openapi import Description, timeless
from app.api.policies import POLICIES, Open
from app.main import create_app
from app.task_types.definition import TaskType, task_type
from tests.api.caller import PROBLEM, PROTOCOL_EXAMPLE, Caller, Json, message
from tests.support.source_tree import ROOT

DOCUMENT: Json = timeless(create_app())
BODILESS = {"204", "304"}


def operations() -> Iterator[tuple[str, str, Json]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


OPERATIONS = pytest.mark.parametrize(
    ("method", "path", "operation"), list(operations()), ids=[f"{method} {path}" for method, path, _ in operations()]
)


def resolve(reference: str) -> Json:
    found: Json = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


@OPERATIONS
def test_every_operation_is_described(method: str, path: str, operation: Json) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert len(operation["tags"]) == 1
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert re.fullmatch(r"[a-z_]+", operation["operationId"])
    in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", path))
    assert all(each["description"] and each["schema"] for each in operation["parameters"])


@OPERATIONS
def test_every_answer_has_a_schema_and_every_error_is_a_problem(method: str, path: str, operation: Json) -> None:
    assert any(status.startswith("2") for status in operation["responses"])
    for status, response in operation["responses"].items():
        assert response["description"]
        if status in BODILESS:
            assert "content" not in response
        elif status >= "400":
            assert set(response["content"]) == {PROBLEM}
            examples = [resolve(each["$ref"])["value"] for each in response["content"][PROBLEM]["examples"].values()]
            assert {problem["status"] for problem in examples} == {int(status)}
        else:
            assert all("schema" in content for content in response["content"].values())
    headers = {status: set(response.get("headers", ())) for status, response in operation["responses"].items()}
    assert {"WWW-Authenticate"} <= headers.get("401", {"WWW-Authenticate"})
    assert {"Retry-After"} <= headers.get("503", {"Retry-After"})


@OPERATIONS
def test_security_is_what_the_policies_say(method: str, path: str, operation: Json) -> None:
    policy = POLICIES[method, path]
    guarded = {"401", "403"} <= set(operation["responses"])
    if isinstance(policy, Open):
        assert "security" not in operation
        assert not guarded
    else:
        assert operation["security"] == [{"token": []}]
        assert guarded
        assert f"`{policy}`" in operation["description"]


def test_every_route_under_v1_is_documented() -> None:
    documented = {(method, path) for method, path, _ in operations()}
    assert {route for route in POLICIES if route[1].startswith("/v1/")} <= documented


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT))
    assert len(references) > 100
    assert all(resolve(reference) for reference in references)
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_document_is_the_same_each_time_and_holds_no_time_of_now() -> None:
    assert timeless(create_app()) == DOCUMENT
    assert str(datetime.now(UTC).date()) not in json.dumps(DOCUMENT["components"]["examples"])


def validator(schema: Json) -> Any:
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def test_every_example_of_a_body_fits_the_schema_and_each_kind_of_task_has_one() -> None:
    kinds = set()
    for _, _, operation in operations():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for example in content["examples"].values():
                value = resolve(example["$ref"])["value"]
                validator(content["schema"]).validate(value)
                if isinstance(value, dict) and value.get("type") == "submit_task":
                    kinds.add(value["body"]["task_specification"]["type"])
    assert kinds == {"echo", "sleep", "http_request", "data_processing"}


def test_every_conflict_is_shown_where_it_can_happen() -> None:
    """What the code answers with 409, what has an example, and what some operation shows are the same."""
    code = "".join(path.read_text() for path in (ROOT / "app" / "api").rglob("*.py"))
    answers = [operation["responses"]["409"] for _, _, operation in operations() if "409" in operation["responses"]]
    shown = {kind for answer in answers for kind in answer["content"][PROBLEM]["examples"]}
    assert set(re.findall(r'\(\s*409,\s*"([a-z-]+)"', code)) == set(CONFLICTS) == shown
    for kind in CONFLICTS:
        example = DOCUMENT["components"]["examples"][f"problem.409.{kind}"]["value"]
        assert (example["status"], example["type"].rpartition(":")[2]) == (409, kind)


def test_the_protocols_example_comes_first_and_is_the_protocols() -> None:
    examples = DOCUMENT["paths"]["/v1/tasks"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    example = resolve(next(iter(examples.values()))["$ref"])["value"]
    expected = copy.deepcopy(PROTOCOL_EXAMPLE)
    del expected["body"]["deadline"]
    assert example == expected


# -- a running service ------------------------------------------------------------------------------


def test_the_examples_that_a_service_gives_out_are_of_now_and_accepted_again_and_again(
    alice: Caller, nobody: httpx.Client
) -> None:
    examples = nobody.get("/openapi.json").json()["components"]["examples"]
    sent = [example["value"] for name, example in examples.items() if name.startswith("submit.")]
    assert len(sent) >= 6
    assert sent[0]["body"]["deadline"] > datetime.now(UTC).isoformat()
    for value in sent:
        assert [alice.post(value).status_code for _ in range(2)] == [202, 200]
        alice.cancel(alice.post(value).headers["location"].rpartition("/")[2])


class Sized(BaseModel):
    """How large."""

    width: int


class Picture(BaseModel):
    """Parameters of the kind below."""

    size: Sized


def kind_of_ones_own() -> TaskType:
    @task_type("acme/resize picture", parameters=Picture, examples=({"size": {"width": 640}},))
    def resize(parameters: Picture, context: object) -> dict[str, int]:
        """Makes a picture smaller."""
        return {"width": parameters.size.width}

    found: TaskType = resize.__task_type__  # type: ignore[attr-defined]  # the decorator puts it there
    return found


def test_ones_own_kinds_of_task_are_documented_too() -> None:
    document = Description(create_app(), [kind_of_ones_own()]).at(datetime(2026, 11, 23, 10, 0, tzinfo=UTC))
    examples = document["components"]["examples"]
    value = examples["submit.acme-resize-picture"]["value"]
    assert value["body"]["task_specification"] == {
        "type": "acme/resize picture",
        "parameters": {"size": {"width": 640}},
    }
    assert value["header"] == {
        "message_id": "acme/resize picture-20261123T100000Z",
        "timestamp": "2026-11-23T10:00:00Z",
    }
    schemas = document["components"]["schemas"]
    assert schemas["acme-resize-picture.parameters"]["properties"]["size"] == {
        "$ref": "#/components/schemas/acme-resize-picture.Sized"
    }
    assert schemas["acme-resize-picture.Sized"]["properties"]["width"]["type"] == "integer"


def closed(name: str) -> Any:
    """A validator of one of our schemas that takes no member that is not documented."""
    components = copy.deepcopy(DOCUMENT["components"])
    for schema in components["schemas"].values():
        if "properties" in schema and not schema.get("additionalProperties"):
            schema["additionalProperties"] = False
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})


def test_answers_have_the_members_that_are_documented_and_no_others(alice: Caller, licence_holder: str) -> None:
    done = alice.submit(message("sleep", {"seconds": 0.2}, deadline="2099-01-01T00:00:00Z", labels={"a": "b"}))
    alice.finished(done)
    waiting = alice.submit(message(resources={"custom": {"licence": 1}}))
    rejected = alice.post(message("sleep", {"seconds": -1}))
    get = alice.http.get
    found: list[tuple[str, httpx.Response]] = [
        ("TaskStatus", alice.get(done)),
        ("TaskStatus", alice.get(waiting)),
        ("TaskStatus", alice.cancel(waiting)),
        ("TaskStatus", alice.get(rejected.json()["task_id"])),
        ("TaskPage", get("/v1/tasks?view=full")),
        ("HistoryPage", get(f"/v1/tasks/{done}/messages")),
        ("DryRun", alice.post(message(), "?validate_only=true")),
        ("BatchOutcomes", alice.http.post("/v1/tasks/batch", json={"messages": [message(), 7]})),
        ("TaskTypePage", get("/v1/task-types")),
        ("TaskTypeDescription", get("/v1/task-types/echo")),
        ("ResourcesAnswer", get("/v1/resources")),
        ("Live", get("/livez")),
        ("Ready", get("/readyz")),
        ("Problem", rejected),
        ("Problem", alice.get("nothing")),
        ("Problem", alice.get(waiting, "/result")),
        ("Problem", get("/v1/tasks?limit=0")),
        ("Problem", alice.cancel(done)),
    ]
    for name, response in found:
        closed(name).validate(response.json())
