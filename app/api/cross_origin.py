"""Pages of other origins (CORS; WHATWG Fetch, section 3.2): none may read an answer, unless the operator names them.

No cookie is ever taken, so nothing is done with credentials. An origin that is not named is answered as if it had said
nothing, and its preflight as any method that a path does not have.
"""

from collections.abc import Awaitable, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "POST", "PUT", "DELETE")
_ASKED = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Prefer")
_TOLD = (
    "ETag", "Idempotent-Replayed", "Location", "Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After",
    "WWW-Authenticate",
)  # fmt: skip


class CrossOrigin:
    """Stands before everything. Without origins it is one call; they are named at the start."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answer = app
        self._origins: frozenset[bytes] = frozenset()

    def allow(self, origins: Sequence[str]) -> None:
        """Lets pages of these origins read answers."""
        if origins:
            self._origins = frozenset(origin.encode() for origin in origins)
            self._permissive = CORSMiddleware(
                self._app,
                allow_origins=origins,
                allow_methods=_METHODS,
                allow_headers=_ASKED,
                expose_headers=_TOLD,
            )
            self._answer = self._by_origin

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes on."""
        return self._answer(scope, receive, send)

    async def _by_origin(self, scope: Scope, receive: Receive, send: Send) -> None:
        origins = [value for name, value in scope.get("headers", ()) if name == b"origin"]
        named = len(origins) == 1 and origins[0] in self._origins
        await (self._permissive if named else self._app)(scope, receive, send)
