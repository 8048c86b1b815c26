"""Signing secrets of webhooks: each submitter's own, made and replaced by itself, shown once."""

from datetime import UTC
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.api import examples
from app.api.answers import JsonAnswer
from app.api.bodies import parsed, read_optional_json_body
from app.api.documented import answer, problems, ref, takes
from app.api.problems import NOT_FOUND, security_logger
from app.api.routing import PolicedRoute, principal_of, service_of
from app.api.visible import TASK_ID
from app.api.webhook_schemas import NewWebhookSecret, SecretRequest, WebhookSecretPage
from app.protocol.times import format_time

router = APIRouter(route_class=PolicedRoute)


@router.get(
    "/v1/webhook-secrets",
    tags=["Webhooks"],
    summary="List your signing secrets",
    responses={200: answer("All that sign.", ref(WebhookSecretPage))},
)
async def list_webhook_secrets(request: Request) -> Response:
    """Your signing secrets that are valid now, two at most, without what is secret: that is shown once."""
    found = await service_of(request).webhook_secrets.all_of(principal_of(request).subject)
    items = [
        {
            "secret_id": each.secret_id,
            **{
                name: None if moment is None else format_time(moment.astimezone(UTC))
                for name, moment in (
                    ("created_at", each.created_at),
                    ("shown_at", each.shown_at),
                    ("expires_at", each.expires_at),
                )
            },
        }
        for each in found
    ]
    return JsonAnswer(200, orjson.dumps({"items": items, "next_cursor": None}))


@router.post(
    "/v1/webhook-secrets",
    status_code=201,
    tags=["Webhooks"],
    summary="Make a signing secret",
    responses={
        201: answer("Yours, shown this once.", ref(NewWebhookSecret), "Location"),
        **problems(400, 413, 415, 422),
    },
    openapi_extra=takes(SecretRequest, examples.SIGNING, required=False),
)
async def create_webhook_secret(request: Request) -> Response:
    """The secret that signs your webhooks from now on. The one before signs beside it for `overlap_s` seconds more.

    Where the service has made you one already, to sign what had to be sent, and nobody has seen it, you are shown that.
    """
    service, subject = service_of(request), principal_of(request).subject
    wanted = parsed(await read_optional_json_body(request, service.max_body_bytes), SecretRequest, "request")
    made = await service.webhook_secrets.create(subject, wanted.overlap_s)
    security_logger.info("a webhook secret was shown", extra={"subject": subject, "secret_id": made.secret_id})
    body = {**made._asdict(), "created_at": format_time(made.created_at.astimezone(UTC))}
    return JsonAnswer(201, orjson.dumps(body), [(b"location", f"/v1/webhook-secrets/{made.secret_id}".encode())])


@router.delete(
    "/v1/webhook-secrets/{secret_id}",
    status_code=204,
    tags=["Webhooks"],
    summary="Revoke a signing secret",
    responses={204: answer("It signs no more, at any node within five seconds."), **problems(404)},
)
async def revoke_webhook_secret(
    request: Request, secret_id: Annotated[str, Path(description="As the list shows it.")]
) -> Response:
    """For a secret that has leaked. Where it was the only one the service makes another when it has to sign."""
    subject = principal_of(request).subject
    secrets = service_of(request).webhook_secrets
    if not TASK_ID.fullmatch(secret_id) or not await secrets.revoke(subject, secret_id):
        raise NOT_FOUND
    security_logger.info("a webhook secret was revoked", extra={"subject": subject, "secret_id": secret_id})
    return Response(status_code=204)
