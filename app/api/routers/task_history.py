"""What a task left behind: its result, and every message about it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api.answers import RETRY_AFTER, JsonAnswer, etag_of, item_json, page_json
from app.api.documented import answer, conflicts, problems, ref
from app.api.encrypted_answers import may_read, shown_items
from app.api.problems import Problem
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.schemas import HistoryPage
from app.api.service import Service
from app.api.visible import visible_task
from app.protocol.roles import Principal
from app.protocol.states import State
from app.protocol.task import Task

router = APIRouter(route_class=PolicedRoute)

MAX_SEQUENCE = 2_147_483_647


class MessagesQuery(BaseModel):
    """Query of a history: items behind `after` (or behind the cursor)."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=0, ge=0, le=MAX_SEQUENCE, description="Only messages with a higher sequence.")
    limit: int = Field(default=50, ge=1, le=200, description="Messages on one page.")
    cursor: int | None = Field(default=None, ge=0, le=MAX_SEQUENCE, description="`next_cursor` of the page before.")


class ResultQuery(BaseModel):
    """Query of a result."""

    model_config = ConfigDict(extra="forbid")

    plain: bool = Field(
        default=False, description="The result of a task that came encrypted, in plain, to its submitter."
    )


ENCRYPTED_RESULT = Problem(
    406,
    "encrypted-result",
    "The task came encrypted: ask for its result with Accept: application/jose and a token that is bound to a key of "
    "yours (cnf.jwk). Its submitter may ask for it in plain with ?plain=true.",
)


@router.get(
    "/v1/tasks/{task_id}/result",
    tags=["Tasks"],
    summary="Result of a task",
    responses={
        200: answer("What the handler returned: any JSON.", {}, "ETag"),
        **problems(404, 406, 422),
        **conflicts("not-finished", "no-result", "content-erased"),
    },
)
async def get_result(request: Request, task_id: str, query: Annotated[ResultQuery, Query()]) -> Response:
    """The result alone, of a completed task.

    409 while there is none yet (`not-finished`), where there will be none (`no-result`), and where it was erased. The
    result of a task that came encrypted is given in an encrypted answer (`Accept: application/jose`), or to its
    submitter with `plain=true`; 406 otherwise.
    """
    service, principal = service_of(request), principal_of(request)
    task = await visible_task(service, principal, task_id)
    if task.erased:
        raise Problem(409, "content-erased", "The content of the task was erased.", members={"task_id": task_id})
    if task.state is State.COMPLETED:
        task = await _readable(request, service, principal, task, plain=query.plain)
        return JsonAnswer(200, (task.result_json or "null").encode(), [(b"etag", etag_of(task, None).encode())])
    members = {"task_id": task_id, "task_status": str(task.state), "reason": task.reason}
    if task.state.terminal:
        raise Problem(409, "no-result", f"The task is {task.state}: it has no result.", members=members)
    raise Problem(
        409,
        "not-finished",
        f"The task is {task.state}: it has no result yet.",
        headers={RETRY_AFTER[0].decode(): RETRY_AFTER[1].decode()},
        members=members,
    )


async def _readable(request: Request, service: Service, principal: Principal, task: Task, *, plain: bool) -> Task:
    """The task with a result that can be read. Raises a 406 problem, ContentUnavailable."""
    if task.encryption_json is None:
        return task
    if may_read(request, principal, task) or (plain and task.submitter == principal.subject):
        return await service.contents.opened(task)
    raise ENCRYPTED_RESULT


@router.get(
    "/v1/tasks/{task_id}/messages",
    tags=["Tasks"],
    summary="Message history of a task",
    responses={200: answer("One page, in order.", ref(HistoryPage)), **problems(404, 422)},
)
async def get_messages(request: Request, task_id: str, query: Annotated[MessagesQuery, Query()]) -> Response:
    """The full message history of the task, in order, each message bound to the one before by its hash."""
    service, principal = service_of(request), principal_of(request)
    task = await visible_task(service, principal, task_id)
    after = max(query.after, query.cursor or 0)
    items = await service.queries.messages(task, after, query.limit + 1)
    page = await shown_items(request, service, principal, task, items[: query.limit])
    following = str(page[-1].sequence) if len(items) > query.limit else None
    return JsonAnswer(200, page_json([item_json(item) for item in page], following))
