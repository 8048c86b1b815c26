"""The server's HTTP protocol with one thing more: an answer can drop its connection (app/api/event_stream.py).

Closing one politely waits for everything that was sent to be taken, which a client that never reads never does.
"""

from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.event_stream import ABORT


class AbortableProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which offers `abort` to the application as an ASGI extension."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        scope = cast("dict[str, object]", self.scope)
        scope["extensions"] = {ABORT: {"abort": self.transport.abort}}
