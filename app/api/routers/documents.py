"""The description of the interface, for programs and for people. Nothing of it comes from another host."""

import asyncio
from functools import cache
from pathlib import Path

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from app.api.answers import JsonAnswer
from app.api.openapi import Description
from app.api.routing import PolicedRoute
from app.clock import utc_now

router = APIRouter(route_class=PolicedRoute, include_in_schema=False)

PAGES = Path(__file__).parents[1] / "pages"
SWAGGER, REDOC = "swagger.html", "redoc.html"

# Swagger UI and ReDoc write styles into the page and draw icons from data: addresses; ReDoc's search is a worker made
# from a blob.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Our own pages, and the scripts and styles that the package carries.
_files = StaticFiles(directory=PAGES, packages=[("fastapi_offline", "static")])
REDOC_SCRIPT = "redoc.standalone.js"


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The OpenAPI document; the times in its examples are of now, so that they work as they stand."""
    description: Description = request.app.state.description
    # In a thread: the first one is built, and nobody else shall wait for that.
    document = await asyncio.to_thread(description.at, utc_now())
    return JsonAnswer(200, orjson.dumps(document))


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Swagger UI: read, authorize, try out."""
    return await _page(SWAGGER, request)


@router.get("/redoc")
async def redoc(request: Request) -> Response:
    """ReDoc: the same to read."""
    return await _page(REDOC, request)


@router.get("/docs/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    """A script, style or picture of the two pages."""
    if name == REDOC_SCRIPT:
        response = Response(_redoc_script(), media_type="text/javascript")
    else:
        response = await _file(name, request)
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


@cache
def _redoc_script() -> bytes:
    """ReDoc without the one picture that it would fetch from its maker's host."""
    path, _ = _files.lookup_path(REDOC_SCRIPT)
    return Path(path).read_bytes().replace(b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"docs/assets/favicon.png")


async def _file(name: str, request: Request) -> Response:
    """Always the whole file: a part that was asked for in vain would be answered with an error that is no problem."""
    request.scope["headers"] = [header for header in request.scope["headers"] if header[0] != b"range"]
    response = await _files.get_response(name, request.scope)
    response.headers["Accept-Ranges"] = "none"
    return response


async def _page(name: str, request: Request) -> Response:
    response = await _file(name, request)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Cache-Control"] = "no-cache"
    return response
