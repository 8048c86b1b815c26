"""Server-sent events (WHATWG HTML, section 9.2): messages of a history as text, and the answer that carries them.

FastAPI has an `EventSourceResponse` of its own; it reads ahead into a buffer, writes data anew as JSON and has no word
on readers that do not read. Here nothing is read before the one before it has been taken.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from app.api.answers import item_json
from app.delivery.following import Mark
from app.protocol.history import Item

logger = logging.getLogger("app.api")

MEDIA_TYPE = "text/event-stream"
ABORT = "task_executor.abort"
"""The ASGI extension with a function `abort` that drops the connection at once, whatever is still to be sent."""

STALL_S = 30.0
"""How long a reader may leave what was sent to it lying before it is dropped."""

SLICE = 64 * 1024
"""Bytes handed over at once: as much as uvicorn lets pile up for a connection before it asks to wait."""

_HEADERS = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_PREAMBLE = b"retry: 1000\n\n"
_COMMENTS = {
    Mark.ALIVE: b": alive\n\n",
    Mark.EXPIRED: b": the token has expired; come back with a new one\n\n",
    Mark.REVOKED: b": the token has been revoked\n\n",
    Mark.DRAINING: b": this node is shutting down; come back, and go on at another\n\n",
}

Events = AsyncGenerator[Item | Mark, None]
Seal = Callable[[bytes], bytes]


def event_text(item: Item, seal: Seal | None = None) -> bytes:
    """One message as an event, its data encrypted by `seal`.

    A line break inside the message begins a new `data:` line, which clients join again.

    A carriage return ends a line too, so one that stands between members of a submitted message becomes a line feed.
    """
    text = item_json(item) if seal is None else seal(item_json(item).encode()).decode()
    data = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\ndata: ")
    return f"id: {item.sequence}\nevent: {item.name}\ndata: {data}\n\n".encode()


async def _chunks(events: Events, seal: Seal | None) -> AsyncIterator[bytes]:
    yield _PREAMBLE
    async for event in events:
        text = _COMMENTS[event] if isinstance(event, Mark) else event_text(event, seal)
        for start in range(0, len(text), SLICE):
            yield text[start : start + SLICE]


class EventStream(StreamingResponse):
    """The answer. `ended` is called once when it is over, however it came to its end; `seal` encrypts what is told."""

    def __init__(
        self, events: Events, *, ended: Callable[[], None], stall_s: float = STALL_S, seal: Seal | None = None
    ) -> None:
        super().__init__(_chunks(events, seal), headers=_HEADERS)
        self._events = events
        self._ended = ended
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the events end, the client goes, or it does not take what it is sent."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._stall_s):
                await send(message)

        try:
            async with aclosing(self._events):
                await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            logger.info("a stream's reader does not read: dropped", extra={"path": scope["path"]})
            await _drop(scope)
        finally:
            self._ended()


async def _drop(scope: Scope) -> None:
    """Ends the connection at once, where the server can; else it ends when its last bytes have been taken."""
    abort: Callable[[], None] | None = scope.get("extensions", {}).get(ABORT, {}).get("abort")
    if abort is not None:
        abort()
        # The server hears of the loss before it hears that the answer is incomplete.
        await asyncio.sleep(0)
