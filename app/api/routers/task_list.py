"""Many tasks: the list with its filters, and the batch."""

import base64
import binascii
import re
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from starlette.responses import Response

from app.api import examples
from app.api.answers import JsonAnswer, page_json
from app.api.bodies import read_json_body
from app.api.documented import answer, problems, ref, takes
from app.api.encrypted_answers import recipient, shown, shown_submission
from app.api.problems import Problem, told
from app.api.routing import PolicedRoute, SlimRoute, principal_of, service_of
from app.api.schemas import Batch, BatchOutcomes
from app.api.service import Service
from app.api.status_schemas import TaskPage
from app.api.visible import TASK_ID, why_it_waits
from app.protocol import strict_json
from app.protocol.messages import Timestamp
from app.protocol.problems import MemberError
from app.protocol.roles import Principal
from app.protocol.states import State
from app.storage.queries import ListFilter
from app.submission.outcomes import Submission

router = APIRouter(route_class=PolicedRoute)
slim = APIRouter(route_class=SlimRoute)

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_BATCH = 1000
BATCH_PATH = "/v1/tasks/batch"

_LABEL = re.compile(r"([^=:\x00]{1,63})[=:]([^\x00]{0,255})")

# Postgres takes no NUL in a text, and tells so by an error of its own.
QueryText = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00]*$")]


class ListQuery(BaseModel):
    """Query of the list: every filter narrows, repeated ones of a kind widen among themselves (labels narrow)."""

    model_config = ConfigDict(extra="forbid")

    status: list[State] = Field(default=[], max_length=9, description="Only tasks in this state; may be repeated.")
    type: QueryText | None = Field(default=None, description="Only tasks of this type.")
    priority: int | None = Field(default=None, ge=-32768, le=32767, description="Only tasks of this priority.")
    label: list[str] = Field(
        default=[], max_length=32, description="Only tasks with this label, as name=value; may be repeated."
    )
    message_id: QueryText | None = Field(default=None, description="Only tasks of this message_id.")
    submitter: QueryText | None = Field(default=None, description="Only tasks of this submitter.")
    submitted_after: Timestamp | None = Field(default=None, description="Only tasks submitted at or after this time.")
    submitted_before: Timestamp | None = Field(default=None, description="Only tasks submitted before this time.")
    view: Literal["summary", "full"] = Field(
        default="summary", description="summary leaves `details.result` out, full has it."
    )
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Tasks on one page.")
    cursor: str | None = Field(default=None, max_length=200, description="`next_cursor` of the page before.")

    @field_validator("label")
    @classmethod
    def _labels(cls, value: list[str]) -> list[str]:
        for label in value:
            if not _LABEL.fullmatch(label):
                raise ValueError("must be written name=value")
        return value


@router.get(
    "/v1/tasks",
    tags=["Tasks"],
    summary="List tasks",
    responses={200: answer("One page.", ref(TaskPage)), **problems(400, 422)},
)
async def list_tasks(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """The caller's own tasks, newest first; an admin's list has everybody's."""
    service, principal = service_of(request), principal_of(request)
    if not principal.admin and query.submitter not in (None, principal.subject):
        return JsonAnswer(200, page_json([], None))
    before = None if query.cursor is None else _task_of(query.cursor)
    tasks = await service.queries.list_tasks(_filter(query, principal), query.limit + 1, before)
    page = tasks[: query.limit]
    if query.view == "summary":
        for task in page:
            task.result_json = None
    opened = [await shown(request, service, principal, task) for task in page]
    items = [task.status_json(await why_it_waits(service, task)) for task in opened]
    following = _cursor_of(page[-1].task_id) if len(tasks) > query.limit else None
    return JsonAnswer(200, page_json(items, following))


@slim.post(
    BATCH_PATH,
    tags=["Tasks"],
    summary="Submit many tasks",
    responses={
        200: answer("One outcome for each message.", ref(BatchOutcomes)),
        **problems(400, 413, 415, 422),
    },
    openapi_extra=takes(Batch, examples.BATCH),
)
async def submit_batch(request: Request) -> Response:
    """Up to 1,000 submit_task messages; each has an outcome of its own, in the same order, as if sent alone.

    To the rate limit each message counts as a call. An encrypted message stands there as the text of its JWE.
    """
    service, principal = service_of(request), principal_of(request)
    body = strict_json.parse(await read_json_body(request, service.max_body_bytes))
    messages = _messages(body)
    if len(messages) > 1:
        # The call itself has been counted.
        await service.calls.take(principal.subject, len(messages) - 1)
    outcomes = await service.encrypted.submit_batch(messages, principal)
    if recipient(request) is not None:
        outcomes = [await _shown(request, service, principal, outcome) for outcome in outcomes]
    return JsonAnswer(200, b'{"outcomes":[' + b",".join(_outcome(outcome) for outcome in outcomes) + b"]}")


async def _shown(
    request: Request, service: Service, principal: Principal, outcome: Submission | Exception
) -> Submission | Exception:
    return outcome if isinstance(outcome, Exception) else await shown_submission(request, service, principal, outcome)


def _messages(body: Any) -> list[Any]:
    errors = []
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list):
        errors.append(MemberError("/messages", "must be an array of submit_task messages"))
    elif not 1 <= len(messages) <= MAX_BATCH:
        errors.append(MemberError("/messages", f"must hold 1 to {MAX_BATCH} messages, not {len(messages)}"))
    if isinstance(body, dict):
        errors += [
            MemberError(f"/{name[:80]}", "is not a member of a batch: remove it") for name in body if name != "messages"
        ]
    if errors:
        raise Problem(422, "invalid-batch", "The batch is not acceptable; see errors.", errors=errors)
    found: list[Any] = messages  # type: ignore[assignment]  # anything else has been refused above
    return found


def _outcome(outcome: Submission | Exception) -> bytes:
    if isinstance(outcome, Submission):
        return f'{{"status":{200 if outcome.replayed else 202},"task":{outcome.status_json}}}'.encode()
    problem, body = told(outcome, BATCH_PATH)
    return orjson.dumps({"status": problem.status, "problem": body})


def _filter(query: ListQuery, principal: Principal) -> ListFilter:
    labels = [_LABEL.fullmatch(label) for label in query.label]
    return ListFilter(
        submitter=query.submitter if principal.admin else principal.subject,
        states=tuple(query.status),
        type=query.type,
        priority=query.priority,
        labels=tuple((found[1], found[2]) for found in labels if found),
        message_id=query.message_id,
        submitted_after=query.submitted_after,
        submitted_before=query.submitted_before,
    )


def _cursor_of(task_id: str) -> str:
    return base64.urlsafe_b64encode(task_id.encode()).decode().rstrip("=")


def _task_of(cursor: str) -> str:
    """The task that a cursor stands behind. It opens nothing: the filters apply all the same."""
    try:
        task_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        task_id = ""
    if not TASK_ID.fullmatch(task_id):
        raise Problem(400, "invalid-cursor", "The cursor is none that this service has given out.")
    return task_id
