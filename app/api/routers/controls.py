"""Pausing and draining, by an admin: nodes, and kinds of task."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.api.answers import JsonAnswer
from app.api.control_schemas import NodePage, NodeState, PausedTypePage, PausedTypeState
from app.api.documented import answer, problems, ref
from app.api.problems import NOT_FOUND
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.service import Service
from app.protocol.times import format_time
from app.storage.controls import Mode, PausedType
from app.storage.nodes import Node

router = APIRouter(route_class=PolicedRoute)

NodeName = Annotated[str, Path(description="As GET /v1/admin/nodes has it.", examples=["node-1f2e3d4c"])]
TypeName = Annotated[str, Path(description="As GET /v1/task-types has it.", examples=["echo"])]


@router.get(
    "/v1/admin/nodes",
    tags=["Administration"],
    summary="Nodes",
    responses={200: answer("All that live.", ref(NodePage))},
)
async def list_nodes(request: Request) -> Response:
    """Every node that lives, what it has, and what is wanted of it."""
    nodes = [_node(node) for node in await service_of(request).nodes.all()]
    return JsonAnswer(200, orjson.dumps({"items": nodes, "next_cursor": None}))


@router.post(
    "/v1/admin/nodes/{node}/pause",
    tags=["Administration"],
    summary="Pause a node",
    responses={200: answer("It is wanted.", ref(NodeState)), **problems(404)},
)
async def pause_node(request: Request, node: NodeName) -> Response:
    """The node takes no more tasks within seconds; those that run there go on. It still answers calls.

    A node that is started anew serves again.
    """
    return await _set_mode(service_of(request), node, Mode.PAUSED)


@router.post(
    "/v1/admin/nodes/{node}/drain",
    tags=["Administration"],
    summary="Drain a node",
    responses={200: answer("It is wanted.", ref(NodeState)), **problems(404)},
)
async def drain_node(request: Request, node: NodeName) -> Response:
    """As pause, and what has not finished after the grace time (TASK_EXECUTOR_DRAIN_S) is handed back to other nodes.

    An attempt that is handed back does not count.
    """
    return await _set_mode(service_of(request), node, Mode.DRAINING)


@router.post(
    "/v1/admin/nodes/{node}/resume",
    tags=["Administration"],
    summary="Resume a node",
    responses={200: answer("It is wanted.", ref(NodeState)), **problems(404)},
)
async def resume_node(request: Request, node: NodeName) -> Response:
    """The node takes tasks again."""
    return await _set_mode(service_of(request), node, Mode.SERVING)


@router.get(
    "/v1/admin/task-types",
    tags=["Administration"],
    summary="Paused kinds of task",
    responses={200: answer("All that are paused.", ref(PausedTypePage))},
)
async def list_paused_types(request: Request) -> Response:
    """Every kind of task that no node starts, since when, and by whose wish."""
    paused = [_paused(each) for each in await service_of(request).controls.paused_types()]
    return JsonAnswer(200, orjson.dumps({"items": paused, "next_cursor": None}))


@router.post(
    "/v1/admin/task-types/{name}/pause",
    tags=["Administration"],
    summary="Pause a kind of task",
    responses={200: answer("It is paused.", ref(PausedTypeState)), **problems(404)},
)
async def pause_type(request: Request, name: TypeName) -> Response:
    """No node starts tasks of this kind, within seconds, until it is resumed. They can be submitted, and wait.

    Those that run go on. Deadlines and cancels hold as ever.
    """
    service = _serving(request, name)
    paused = await service.controls.pause_type(name, principal_of(request).subject)
    await _tell(service)
    return JsonAnswer(200, orjson.dumps(_paused(paused)))


@router.post(
    "/v1/admin/task-types/{name}/resume",
    tags=["Administration"],
    summary="Resume a kind of task",
    responses={200: answer("It is not paused.", ref(PausedTypeState)), **problems(404)},
)
async def resume_type(request: Request, name: TypeName) -> Response:
    """Tasks of this kind may start again."""
    service = _serving(request, name)
    await service.controls.resume_type(name)
    await _tell(service)
    return JsonAnswer(200, orjson.dumps({"type": name, "paused": False, "paused_at": None, "paused_by": None}))


async def _set_mode(service: Service, node_id: str, mode: Mode) -> Response:
    if not await service.controls.set_mode(node_id, mode):
        raise NOT_FOUND
    await _tell(service)
    found = [node for node in await service.nodes.all() if node.node_id == node_id]
    if not found:
        raise NOT_FOUND
    return JsonAnswer(200, orjson.dumps(_node(found[0])))


def _serving(request: Request, name: str) -> Service:
    service = service_of(request)
    if service.registry.get(name) is None:
        raise NOT_FOUND
    return service


async def _tell(service: Service) -> None:
    """In effect here when the call is answered; elsewhere with the next look."""
    await service.pausing.look()


def _node(node: Node) -> dict[str, object]:
    return {
        "node": node.node_id,
        "mode": node.mode,
        "started_at": format_time(node.started_at),
        **{name: node.resources.get(name) for name in ("capacity", "allocated", "running", "waiting")},
    }


def _paused(paused: PausedType) -> dict[str, object]:
    return {
        "type": paused.type,
        "paused": True,
        "paused_at": format_time(paused.paused_at),
        "paused_by": paused.paused_by,
    }
