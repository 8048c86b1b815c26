"""Quotas: what one may have and uses, and what admins set for single submitters."""

import re
import time
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.api import examples
from app.api.answers import JsonAnswer
from app.api.bodies import parsed, read_json_body
from app.api.documented import answer, problems, ref, takes
from app.api.problems import NOT_FOUND
from app.api.quota_schemas import QuotaAnswer, SetQuotaPage, SubmitterQuota
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.service import Service
from app.protocol.quotas import Quota
from app.protocol.resources import to_wire
from app.protocol.times import format_time
from app.storage.quotas import SetQuota
from app.storage.usage import Use

router = APIRouter(route_class=PolicedRoute)

# As tokens have it (docs/security.md): printable ASCII without a space at either end.
SUBJECT = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")

Submitter = Annotated[str, Path(description="The subject of its tokens.", examples=["alice"])]


@router.get(
    "/v1/quota",
    tags=["Catalogue"],
    summary="Your quota",
    responses={200: answer("Limits, use and reset.", ref(QuotaAnswer))},
)
async def get_quota(request: Request) -> Response:
    """What the caller may have and has, how many calls are left, and what its tasks have taken."""
    service, subject = service_of(request), principal_of(request).subject
    use, consumed = await service.quotas.usage.of(subject), await service.quotas.usage.consumed(subject)
    found = {
        "submitter": subject,
        "limits": service.quotas.of(subject).wire_in_force(),
        "used": _use(use),
        "rate": _rate(service, subject),
        "consumed": {
            "tasks": consumed.tasks,
            "cpu_s": consumed.cpu_s,
            "peak_memory_mb": consumed.peak_memory_mb,
        },
    }
    return JsonAnswer(200, orjson.dumps(found))


@router.get(
    "/v1/admin/quotas",
    tags=["Administration"],
    summary="Quotas that are set",
    responses={200: answer("All of them.", ref(SetQuotaPage))},
)
async def list_quotas(request: Request) -> Response:
    """Every submitter for whom something is set, and what."""
    entries = [_entry(each) for each in await service_of(request).quotas.all()]
    return JsonAnswer(200, orjson.dumps({"items": entries, "next_cursor": None}))


@router.get(
    "/v1/admin/quotas/{submitter}",
    tags=["Administration"],
    summary="The quota of a submitter",
    responses={200: answer("What is set, in force and used.", ref(SubmitterQuota)), **problems(404)},
)
async def get_submitter_quota(request: Request, submitter: Submitter) -> Response:
    """What is set for a submitter, what is in force with what is set for everybody, and what it uses."""
    return await _answer(service_of(request), _subject(submitter))


@router.put(
    "/v1/admin/quotas/{submitter}",
    tags=["Administration"],
    summary="Set the quota of a submitter",
    responses={
        200: answer("It is set.", ref(SubmitterQuota)),
        **problems(400, 404, 413, 415, 422),
    },
    openapi_extra=takes(Quota, examples.QUOTA),
)
async def set_quota(request: Request, submitter: Submitter) -> Response:
    """Sets all of it: what is left out, or null, is as for everybody. `"unlimited"` lifts a limit that everybody has.

    In force at once for what waits, runs, is held and is kept; within seconds for rate and weight. What is beyond a new
    limit already stays as it is. The first quota that is ever set counts what is there: nothing is stored meanwhile.
    """
    service, subject = service_of(request), _subject(submitter)
    quota = parsed(await read_json_body(request, service.max_body_bytes), Quota, "quota")
    await service.quotas.put(subject, quota, principal_of(request).subject)
    return await _answer(service, subject)


@router.delete(
    "/v1/admin/quotas/{submitter}",
    tags=["Administration"],
    summary="Let a submitter have the quota of everybody",
    responses={200: answer("Nothing is set for it any more.", ref(SubmitterQuota)), **problems(404)},
)
async def remove_quota(request: Request, submitter: Submitter) -> Response:
    """Nothing is set for the submitter any more. Where nothing was, the answer is 404."""
    service, subject = service_of(request), _subject(submitter)
    if not await service.quotas.remove(subject):
        raise NOT_FOUND
    return await _answer(service, subject)


async def _answer(service: Service, subject: str) -> Response:
    use = await service.quotas.usage.of(subject)
    known = await service.quotas.find(subject)
    found = {
        "submitter": subject,
        "quota": (Quota() if known is None else known.quota).wire(),
        "in_force": service.quotas.of(subject).wire_in_force(),
        "used": _use(use),
        "set_at": None if known is None else format_time(known.set_at),
        "set_by": None if known is None else known.set_by,
    }
    return JsonAnswer(200, orjson.dumps(found))


def _subject(text: str) -> str:
    if not SUBJECT.fullmatch(text):
        raise NOT_FOUND
    return text


def _entry(each: SetQuota) -> dict[str, Any]:
    return {
        "submitter": each.submitter,
        "quota": each.quota.wire(),
        "set_at": format_time(each.set_at),
        "set_by": each.set_by,
    }


def _use(use: Use) -> dict[str, Any]:
    return {
        "queued": use.queued,
        "running": use.running,
        "held": to_wire(use.held),
        "stored_bytes": use.stored_bytes,
    }


def _rate(service: Service, subject: str) -> dict[str, int] | None:
    allowance = service.calls.standing(subject)
    if allowance is None:
        return None
    now = time.monotonic()
    return {
        "limit": allowance.rate.limit,
        "window_s": allowance.rate.window_s,
        "remaining": allowance.remaining(now),
        "reset_s": allowance.reset_s(now),
    }
