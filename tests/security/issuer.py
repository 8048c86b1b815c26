"""An issuer that publishes its keys: a real HTTP server that answers as it is told."""

import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.security.forge import ec_jwk, jwks, rsa_jwk

Answering = Callable[[BaseHTTPRequestHandler], None]


class Issuer:
    """Publishes `document` at `url`. `answering` takes the place of the ordinary answer where it is set."""

    def __init__(self) -> None:
        self.document = jwks(rsa_jwk(), ec_jwk())
        self.answering: Answering | None = None
        self.asked = 0
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"

    def close(self) -> None:
        """Stops answering; whoever is held is let go."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def hold(self, handler: BaseHTTPRequestHandler) -> None:
        """The ordinary answer, which does not come before it is released."""
        self.released.wait(60)
        with suppress(OSError):
            self.publish(handler)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                (issuer.answering or issuer.publish)(self)

            def log_message(self, *_arguments: object) -> None:
                pass

        return Handler

    def publish(self, handler: BaseHTTPRequestHandler) -> None:
        """The ordinary answer."""
        answer(self.document)(handler)


def answer(body: bytes, status: int = 200, **headers: str) -> Answering:
    """An answer of these parts; header names with underscores for hyphens."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send
