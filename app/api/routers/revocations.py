"""Revocations: tokens that count no more although they have not expired."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import examples
from app.api.answers import JsonAnswer, page_json
from app.api.bodies import parsed, read_json_body, unacceptable
from app.api.documented import answer, conflicts, problems, ref, takes
from app.api.problems import NOT_FOUND, Problem, security_logger
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.security_schemas import RevocationEntry, RevocationPage, RevocationRequest
from app.api.visible import TASK_ID
from app.protocol.problems import MemberError
from app.protocol.times import format_time
from app.storage.revocations import Revocation

router = APIRouter(route_class=PolicedRoute)

REVOCATION = "revocation"
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class RevocationsQuery(BaseModel):
    """Query of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200, description="Entries on one page.")
    cursor: str | None = Field(default=None, max_length=200, description="`next_cursor` of the page before.")


@router.get(
    "/v1/admin/revocations",
    tags=["Administration"],
    summary="List revocations",
    responses={200: answer("One page.", ref(RevocationPage)), **problems(400, 422)},
)
async def list_revocations(request: Request, query: Annotated[RevocationsQuery, Query()]) -> Response:
    """The revocations in force, the newest first."""
    if query.cursor is not None and not TASK_ID.fullmatch(query.cursor):
        raise Problem(400, "invalid-cursor", "The cursor is none that this service has given out.")
    found = await service_of(request).revocations.page(query.limit + 1, query.cursor)
    page = found[: query.limit]
    following = page[-1].revocation_id if len(found) > query.limit else None
    return JsonAnswer(200, page_json([_entry(each).decode() for each in page], following))


@router.post(
    "/v1/admin/revocations",
    status_code=201,
    tags=["Administration"],
    summary="Revoke tokens",
    responses={
        201: answer("In force here at once, and at every node within five seconds.", ref(RevocationEntry), "Location"),
        **problems(400, 413, 415, 422),
        **conflicts("too-many-revocations"),
    },
    openapi_extra=takes(RevocationRequest, examples.REVOKE),
)
async def revoke(request: Request) -> Response:
    """Refuses all tokens of a subject, those made later among them, or the one token of an id.

    Streams that are open end too. What is revoked already gets the new `until`.
    """
    service, admin = service_of(request), principal_of(request)
    wanted = parsed(await read_json_body(request, service.max_body_bytes), RevocationRequest, REVOCATION)
    until = _until(wanted.until, service.verifier.longest_s)
    if wanted.subject is not None:
        made = await service.revocations.add("subject", wanted.subject, until, admin.subject)
    else:
        assert wanted.token_id is not None, "checked by the schema"
        made = await service.revocations.add("token_id", wanted.token_id, until, admin.subject)
    security_logger.warning("revoked", extra={"revocation": _members(made)})
    path = f"/v1/admin/revocations/{made.revocation_id}".encode()
    return JsonAnswer(201, _entry(made), [(b"location", path)])


@router.delete(
    "/v1/admin/revocations/{revocation_id}",
    status_code=204,
    tags=["Administration"],
    summary="Lift a revocation",
    responses={204: answer("Lifted: the tokens count again, as long as they are valid."), **problems(404)},
)
async def lift_revocation(
    request: Request, revocation_id: Annotated[str, Path(description="As the list shows it.")]
) -> Response:
    """Takes an entry off the list. Every node knows within five seconds."""
    service, admin = service_of(request), principal_of(request)
    lifted = await service.revocations.lift(revocation_id) if TASK_ID.fullmatch(revocation_id) else None
    if lifted is None:
        raise NOT_FOUND
    security_logger.warning("revocation lifted", extra={"revocation": _members(lifted), "lifted_by": admin.subject})
    return Response(status_code=204)


def _until(wanted: datetime | None, longest_s: float) -> datetime:
    now = datetime.now(UTC)
    if wanted is not None and not now < wanted < LATEST:
        raise unacceptable(
            REVOCATION, [MemberError("/until", "must be a time that is yet to come, before the year 9999")]
        )
    return wanted or now + timedelta(seconds=longest_s)


def _members(revocation: Revocation) -> dict[str, str]:
    return {
        "revocation_id": revocation.revocation_id,
        revocation.kind: revocation.value,
        "until": format_time(revocation.until.astimezone(UTC)),
        "revoked_at": format_time(revocation.revoked_at.astimezone(UTC)),
        "revoked_by": revocation.revoked_by,
    }


def _entry(revocation: Revocation) -> bytes:
    return orjson.dumps(_members(revocation))
