"""Reading a request's body: of the right kind, never more than allowed, and as its model has it."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from app.api.problem import Problem, too_large
from app.protocol import strict_json
from app.protocol.problems import MemberError, member_errors
from app.security.envelopes.compact import MAX_ENVELOPE_BYTES

MAX_LENGTH_DIGITS = 15
LET_GO_S = 1.0

Model = TypeVar("Model", bound=BaseModel)

JSON = b"application/json"
JOSE = b"application/jose"


async def read_json_body(request: Request, limit: int) -> bytes:
    """The bytes of a JSON body. Raises a 415 or 413 problem; reading stops at the limit."""
    headers = dict(request.scope["headers"])
    if _kind_of(headers) != JSON:
        raise Problem(415, "unsupported-media-type", "Send the body as Content-Type: application/json.")
    return await _read_body(request, headers, limit)


async def read_message(request: Request, limit: int) -> tuple[bytes, bool]:
    """The bytes of a message, and whether it came encrypted (a compact JWE). Raises as `read_json_body`."""
    headers = dict(request.scope["headers"])
    kind = _kind_of(headers)
    if kind == JSON:
        return await _read_body(request, headers, limit), False
    if kind == JOSE:
        return await _read_body(request, headers, min(limit, MAX_ENVELOPE_BYTES)), True
    raise Problem(
        415,
        "unsupported-media-type",
        "Send the body as Content-Type: application/json, or application/jose where it is encrypted.",
    )


def _kind_of(headers: dict[bytes, bytes]) -> bytes:
    if b"content-encoding" in headers:
        raise Problem(415, "unsupported-encoding", "Send the body as it is: no Content-Encoding is accepted.")
    return headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()


async def _read_body(request: Request, headers: dict[bytes, bytes], limit: int) -> bytes:
    length = headers.get(b"content-length", b"0")
    if len(length) > MAX_LENGTH_DIGITS or (length.isdigit() and int(length) > limit):
        # Who asks first (Expect: 100-continue; RFC 9110, section 10.1.1) sends nothing yet; reading would invite it.
        if b"expect" not in headers:
            await _let_go(request, limit)
        raise too_large(limit)
    return await _read(request, limit)


async def _read(request: Request, limit: int) -> bytes:
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        return body
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            await _let_go(request, limit)
            raise too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await request.receive()


async def read_optional_json_body(request: Request, limit: int) -> bytes:
    """As `read_json_body`; no body at all is an empty object."""
    return b"{}" if no_body(request) else await read_json_body(request, limit)


def parsed(body: bytes, model: type[Model], name: str) -> Model:
    """The body as the model has it. Raises NotJson, ForbiddenJson, `unacceptable`."""
    try:
        return model.model_validate(strict_json.parse(body))
    except ValidationError as error:
        raise unacceptable(name, member_errors(error)) from None


def unacceptable(name: str, errors: Sequence[MemberError]) -> Problem:
    """The 422 problem that names what is wrong with a body, which is called `name`."""
    return Problem(422, f"invalid-{name}", f"The {name} is not acceptable; see errors.", errors=errors)


def no_body(request: Request) -> bool:
    """The request has none."""
    return request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers


async def _let_go(request: Request, limit: int) -> None:
    """Throws away as much again as is allowed, for a second.

    A client that is still sending when the connection is closed finds a broken pipe instead of its answer.
    """
    left = limit
    try:
        async with asyncio.timeout(LET_GO_S):
            while left > 0:
                message = await request.receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
