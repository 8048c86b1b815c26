"""What can be submitted, and what there is to run it on."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.api.answers import JsonAnswer
from app.api.documented import answer, problems, ref
from app.api.problems import NOT_FOUND
from app.api.routing import PolicedRoute, service_of
from app.api.schemas import ResourcesAnswer, TaskTypeDescription, TaskTypePage
from app.protocol.resources import to_wire
from app.task_types.definition import TaskType

router = APIRouter(route_class=PolicedRoute)


def describe(kind: TaskType) -> dict[str, Any]:
    """A kind of task as submitters see it."""
    return {
        "type": kind.name,
        "description": kind.description,
        "parameters_schema": kind.parameters.model_json_schema(),
        "resources": to_wire(kind.resources.amounts()),
        "timeout_s": kind.timeout_s,
        "max_attempts": kind.max_attempts,
        "runs_in": kind.runs_in,
        "example": kind.examples[0] if kind.examples else {},
        "examples": list(kind.examples),
    }


@router.get(
    "/v1/task-types",
    tags=["Catalogue"],
    summary="Kinds of task",
    responses={200: answer("All of them.", ref(TaskTypePage))},
)
async def list_task_types(request: Request) -> Response:
    """Every kind of task that can be submitted."""
    kinds = [describe(kind) for kind in service_of(request).registry]
    return JsonAnswer(200, orjson.dumps({"items": kinds, "next_cursor": None}))


@router.get(
    "/v1/task-types/{name}",
    tags=["Catalogue"],
    summary="One kind of task",
    responses={200: answer("The kind of task.", ref(TaskTypeDescription)), **problems(404)},
)
async def get_task_type(
    request: Request, name: Annotated[str, Path(description="As the list has it.", examples=["echo"])]
) -> Response:
    """One kind of task: description, JSON Schema of its parameters, default resources, example."""
    kind = service_of(request).registry.get(name)
    if kind is None:
        raise NOT_FOUND
    return JsonAnswer(200, orjson.dumps(describe(kind)))


@router.get(
    "/v1/resources",
    tags=["Catalogue"],
    summary="Resources",
    responses={200: answer("In all, and per node.", ref(ResourcesAnswer))},
)
async def get_resources(request: Request) -> Response:
    """Capacity, allocated, free and waiting: per node and in all."""
    service = service_of(request)
    nodes = {node.node_id: node.resources for node in await service.nodes.all()}
    # A node's own account is fresher than what it last reported.
    nodes[service.node_id] = service.manager.snapshot()
    found = {**_total(list(nodes.values())), "nodes": [{"node": name, **each} for name, each in nodes.items()]}
    return JsonAnswer(200, orjson.dumps(found))


def _total(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {name: _sum([node[name] for node in nodes]) for name in ("capacity", "allocated", "free")}
    for name in ("running", "waiting"):
        total[name] = sum(node[name] for node in nodes)
    return total


def _sum(vectors: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for vector in vectors:
        for unit, amount in vector.items():
            if unit == "custom":
                total[unit] = _sum([total.get(unit, {}), amount])
            else:
                total[unit] = round(total.get(unit, 0) + amount, 3)
    return total
