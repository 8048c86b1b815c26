"""Reading a request's body: of the right kind, and never more than allowed."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from app.api.problems import Problem

MAX_LENGTH_DIGITS = 15
LET_GO_S = 1.0


async def read_json_body(request: Request, limit: int) -> bytes:
    """The bytes of a JSON body. Raises a 415 or 413 problem; reading stops at the limit."""
    headers = dict(request.scope["headers"])
    if b"content-encoding" in headers:
        raise Problem(415, "unsupported-encoding", "Send the body as it is: no Content-Encoding is accepted.")
    kind = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
    if kind != b"application/json":
        raise Problem(415, "unsupported-media-type", "Send the body as Content-Type: application/json.")
    length = headers.get(b"content-length", b"0")
    if len(length) > MAX_LENGTH_DIGITS or (length.isdigit() and int(length) > limit):
        await _let_go(request, limit)
        raise _too_large(limit)
    return await _read(request, limit)


async def _read(request: Request, limit: int) -> bytes:
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
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
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await request.receive()


async def read_optional_json_body(request: Request, limit: int) -> bytes:
    """As `read_json_body`; no body at all is an empty object."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return b"{}"
    return await read_json_body(request, limit)


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


def _too_large(limit: int) -> Problem:
    return Problem(413, "body-too-large", f"The body is larger than {limit} bytes.", headers={"Connection": "close"})
