"""The OpenAPI 3.1 document: FastAPI's own, completed with what the slim routes and the policies know.

Two forms: the one in the repository (`task-executor openapi`), the same whenever it is made, and the one that a running
service answers with, whose examples are of the moment and include the operator's own kinds of task.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from app.api import documented, examples
from app.api.policies import POLICIES, Open
from app.api.schemas import ANSWERS, REQUESTS
from app.protocol.roles import Permission
from app.task_types.definition import TaskType
from app.task_types.registry import BUILT_IN, Registry

Document = dict[str, Any]

SECURITY_SCHEME = "token"
TAGS = [
    {"name": "Tasks", "description": "Submit work, see how it goes, take its result."},
    {"name": "Executors", "description": "For programs that run tasks outside of the service, in any language."},
    {"name": "Webhooks", "description": "Have the messages of a task sent to you, signed."},
    {"name": "Catalogue", "description": "What can be submitted, and what there is to run it on."},
    {"name": "Administration", "description": "For admins: limits, nodes, and what is to be done by hand."},
    {"name": "Operations", "description": "For operators and their monitoring."},
]
DESCRIPTION = """\
The service speaks the Task Execution Protocol 1.0.0.

**First steps**

1. On the machine of the service, `task-executor token --subject alice --role submitter` prints a token
   (where an identity provider is configured, get one there).
2. Press **Authorize** and paste it, without the word *Bearer*.
3. Open **POST /v1/tasks** and press **Execute**: the protocol's own example is filled in, with today's times.
   The list *Examples* has one for each kind of task.
4. Copy `task_id` from the answer into **GET /v1/tasks/{task_id}** and execute that until the status is `Completed`.
   The header `Prefer: wait=20` holds the answer back until something has changed.

Every error is a problem document (RFC 9457) that names what is wrong. Times are RFC 3339, with a time zone.
Unknown members are refused. A repeated message is answered with the task that it made the first time.
"""


class _Untitled(GenerateJsonSchema):
    """JSON Schema without a title for each member, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the signature is pydantic's
        """Never."""
        return False


class Description:
    """The document of one application and its kinds of task.

    Built when it is first asked for, which takes as long as half of a start; asking again costs little.
    """

    def __init__(self, app: FastAPI, kinds: Iterable[TaskType]) -> None:
        self._app = app
        self._kinds = list(kinds)

    def at(self, now: datetime | None) -> Document:
        """The document with examples for the time `now` (UTC); None: timeless."""
        found = {**examples.components(self._kinds, now), **documented.problem_examples()}
        return {**self._document, "components": {**self._document["components"], "examples": found}}

    @cached_property
    def _document(self) -> Document:
        document = _fastapi_document(self._app)
        names = list(examples.components(self._kinds, None))
        for method, path, operation in _operations(document):
            _drop_unused_422(operation)
            _apply_policy(operation, method, path)
            operation["parameters"] = [_tidied(parameter) for parameter in operation.pop("parameters", ())]
            _refer_to_examples(operation, names)
        document["components"] = {
            "schemas": _schemas(self._kinds),
            "securitySchemes": {SECURITY_SCHEME: _security_scheme()},
            "headers": documented.header_components(),
        }
        return document


def timeless(app: FastAPI) -> Document:
    """The document as the repository keeps it: the built-in kinds of task only."""
    registry = Registry()
    for module in BUILT_IN:
        registry.add_module(module)
    return Description(app, registry).at(None)


def operation_id(route: APIRoute) -> str:
    """The name of the route's function: clients that are generated call their methods so."""
    return route.name


def _fastapi_document(app: FastAPI) -> Document:
    return get_openapi(
        title=app.title,
        version=app.version,
        summary="Background work by HTTP: submit a task, poll its status.",
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
    )


def _operations(document: Document) -> Iterable[tuple[str, str, Document]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method.upper(), path, operation


def _apply_policy(operation: Document, method: str, path: str) -> None:
    """Says who may call, and what who may not is told; the answers in the order of their numbers."""
    policy = POLICIES[method, path]
    if not isinstance(policy, Open):
        operation["security"] = [{SECURITY_SCHEME: []}]
        kind = "permission" if isinstance(policy, Permission) else "role"
        operation["description"] += f"\n\nNeeds the {kind} `{policy}`."
        for status in (401, 403, 406, 429, 503):
            operation["responses"].setdefault(str(status), documented.problem(status))
        operation["responses"].setdefault("422", documented.problem(422))
        for status, response in operation["responses"].items():
            if status != "401":
                response.setdefault("headers", {}).update(documented.RATE_HEADERS)
            if documented.JSON in response.get("content", {}):
                response["content"][documented.JOSE] = {"schema": {"$ref": documented.SCHEMAS + documented.ENVELOPE}}
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _drop_unused_422(operation: Document) -> None:
    """FastAPI says 422 of every route with a parameter; ours that can answer so say it themselves."""
    if documented.JSON in operation["responses"].get("422", {}).get("content", {}):
        del operation["responses"]["422"]


def _tidied(parameter: Document) -> Document:
    """A parameter as it can be sent: left out, but never null; task_id in the same words everywhere."""
    if parameter["name"] == documented.TASK_ID["name"]:
        return documented.TASK_ID
    schema = {name: value for name, value in parameter["schema"].items() if name not in ("title", "description")}
    for choice in schema.pop("anyOf", ()):
        if choice != {"type": "null"}:
            schema.update(choice)
    return {**parameter, "schema": schema}


def _security_scheme() -> Document:
    return {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the service's own key (`task-executor token`) or of the configured issuer.",
    }


def _schemas(kinds: list[TaskType]) -> Document:
    """The schemas of bodies and answers, and of each kind's parameters under `<kind>.<model>`."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in REQUESTS]
    wanted += [(model, "serialization") for model in ANSWERS]
    _, definitions = models_json_schema(wanted, ref_template=documented.SCHEMAS + "{model}", schema_generator=_Untitled)
    schemas: Document = definitions["$defs"]
    specification = schemas["TaskSpecification"]["properties"]
    specification["type"]["examples"] = [kind.name for kind in kinds]
    specification["parameters"]["anyOf"] = [_parameters(kind, schemas) for kind in kinds]
    schemas[documented.ENVELOPE] = documented.ENVELOPE_SCHEMA
    return dict(sorted(schemas.items()))


def _parameters(kind: TaskType, schemas: Document) -> Document:
    """Adds the schema of a kind's parameters to `schemas`; returns the reference to it."""
    prefix = examples.component_name(kind.name)
    schema = kind.parameters.model_json_schema(
        ref_template=f"{documented.SCHEMAS}{prefix}.{{model}}", schema_generator=_Untitled
    )
    schemas.update({f"{prefix}.{name}": each for name, each in schema.pop("$defs", {}).items()})
    schemas[f"{prefix}.parameters"] = schema
    return {"$ref": f"{documented.SCHEMAS}{prefix}.parameters"}


def _refer_to_examples(operation: Document, names: list[str]) -> None:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        prefix = content.pop("x-examples-from", None)
        if prefix is not None:
            content["examples"] = {
                name.removeprefix(prefix): {"$ref": documented.EXAMPLES + name}
                for name in names
                if name.startswith(prefix)
            }
