"""The way past the middleware for the routes that are called thousands of times a second: submit and status.

Plain ASGI: two dictionary look-ups find the route. Everything else, and everything unusual, goes the ordinary way;
both ways end in the same `SlimRoute`. Measured: FastAPI's middleware and routing cost more than the insert.
"""

from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.api.routing import SlimRoute


class HotPath:
    """Middleware that answers the slim routes itself. `routes` have no parameter, or one at the very end."""

    def __init__(self, app: ASGIApp, routes: list[SlimRoute]) -> None:
        self._app = app
        self._exact: dict[tuple[str, str], SlimRoute] = {}
        self._by_parent: dict[tuple[str, str], tuple[SlimRoute, str]] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: SlimRoute) -> None:
        parent, _, last = route.path_format.rpartition("/")
        for method in route.methods or ():
            if "{" in parent:
                raise ValueError(f"{route.path_format} is not slim: its parameter does not stand at the end")
            if last.startswith("{"):
                self._by_parent[method, parent] = route, last[1:-1]
            else:
                self._exact[method, route.path_format] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or passes on."""
        route = self._find(scope) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        await self._serve(route, scope, receive, send)

    def _find(self, scope: Scope) -> SlimRoute | None:
        method, path = scope["method"], scope["path"]
        route = self._exact.get((method, path))
        if route is not None:
            scope["path_params"] = {}
            return route
        parent, _, last = path.rpartition("/")
        found = self._by_parent.get((method, parent))
        if found is None or not last:
            return None
        scope["path_params"] = {found[1]: last}
        return found[0]

    @staticmethod
    async def _serve(route: SlimRoute, scope: Scope, receive: Receive, send: Send) -> None:
        begin = perf_counter()
        status = 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await route.handle(scope, receive, note_status)
        except Exception as error:  # noqa: BLE001 - every error is a problem document, none a broken connection
            await problem_response(error, scope["path"])(scope, receive, note_status)
        finally:
            _meter(route, scope).observe(status, perf_counter() - begin)


def _meter(route: SlimRoute, scope: Scope) -> Any:
    return scope["app"].state.service.metrics.http.meter(scope["method"], route.path_format)
