"""The way past the middleware for the routes that are called thousands of times a second: submit and status.

Plain ASGI: two dictionary look-ups find the route. Everything else, and everything unusual, goes the ordinary way;
both ways end in the same `SlimRoute`. Measured: FastAPI's middleware and routing cost more than the insert.
"""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import problem_response
from app.api.rate_headers import rate_headers
from app.api.routing import SlimRoute
from app.telemetry.http_metrics import HttpMeter


class _Metered(NamedTuple):
    route: SlimRoute
    meter: HttpMeter


class HotPath:
    """Answers the slim routes itself and passes on everything else. Their parameter, if any, stands at the very end.

    `meter` is asked for the meter of a method and a route's path, once.
    """

    def __init__(self, app: ASGIApp, routes: list[SlimRoute], meter: Callable[[str, str], HttpMeter]) -> None:
        self._app = app
        self._exact: dict[tuple[str, str], _Metered] = {}
        self._by_parent: dict[tuple[str, str], tuple[_Metered, str]] = {}
        for route in routes:
            for method in route.methods or ():
                self._add(method, _Metered(route, meter(method, route.path_format)))

    def _add(self, method: str, metered: _Metered) -> None:
        path = metered.route.path_format
        parent, _, last = path.rpartition("/")
        if "{" in parent:
            raise ValueError(f"{path} is not slim: its parameter does not stand at the end")
        if last.startswith("{"):
            self._by_parent[method, parent] = metered, last[1:-1]
        else:
            self._exact[method, path] = metered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or passes on."""
        metered = self._find(scope) if scope["type"] == "http" else None
        if metered is None:
            await self._app(scope, receive, send)
            return
        begin = perf_counter()
        try:
            response = await metered.route.answer(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - every error is a problem document, none a broken connection
            response = problem_response(error, scope["path"])
        response.raw_headers.extend(rate_headers(scope))
        metered.meter.observe(response.status_code, perf_counter() - begin)
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> _Metered | None:
        method, path = scope["method"], scope["path"]
        metered = self._exact.get((method, path))
        if metered is not None:
            scope["path_params"] = {}
            return metered
        parent, _, last = path.rpartition("/")
        found = self._by_parent.get((method, parent))
        if found is None or not last:
            return None
        scope["path_params"] = {found[1]: last}
        return found[0]
