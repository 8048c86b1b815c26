"""The service's public keys, for everyone."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.documented import JSON, answer, ref
from app.api.routing import PolicedRoute, service_of
from app.api.schemas import KeySet

router = APIRouter(route_class=PolicedRoute)

CACHED_S = 300
"""How long a client may go on with what it has read: far shorter than a retired key still opens messages."""


@router.get(
    "/.well-known/jwks.json",
    tags=["Operations"],
    summary="Public keys",
    responses={200: answer("A JWK Set (RFC 7517).", ref(KeySet))},
)
async def get_keys(request: Request) -> Response:
    """The key to encrypt messages with (`use` is `enc`), and the keys that the service signs by (`sig`)."""
    headers = {"Cache-Control": f"public, max-age={CACHED_S}"}
    return Response(service_of(request).published.document(), headers=headers, media_type=JSON)
