"""Routes that know their policy, and slim ones for the hot path.

FastAPI's machinery costs about 150 microseconds a request, most of it in resolving dependencies. A `SlimRoute` is
documented by FastAPI like any other, but answered by calling its endpoint: `async (Request) -> Response`.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.encrypted_answers import answered, note_recipient
from app.api.policies import Open, Policy, authenticate, check_permission, methods_of, opened, policy_of, recognize
from app.api.problems import NOT_FOUND, Problem
from app.api.rate_headers import SUBJECT
from app.api.service import Service
from app.protocol.roles import Principal
from app.security.errors import InvalidToken, RateLimited, UnknownKey

PRINCIPAL = "task_executor.principal"


def service_of(request: Request) -> Service:
    """The running service behind a request."""
    service: Service = request.scope["app"].state.service
    return service


def principal_of(request: Request) -> Principal:
    """The caller, whom the route's policy has let in."""
    principal: Principal = request.scope[PRINCIPAL]
    return principal


class PolicedRoute(APIRoute):
    """A route that lets nobody in whom the table of policies does not."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._policies: dict[str, Policy] = {method: policy_of(method, path) for method in self.methods or ()}

    async def admit(self, scope: Scope) -> None:
        """Puts the caller into the scope, whose call then counts. Raises InvalidToken, RateLimited or a Problem."""
        policy = self._policies.get(scope["method"], Open.PUBLIC)
        if policy is Open.PUBLIC:
            return
        service: Service = scope["app"].state.service
        if isinstance(policy, Open):
            policy = opened(policy, service.doors[policy])
            if isinstance(policy, Open):
                return
        principal = scope[PRINCIPAL] = await _caller(scope, service)
        scope[SUBJECT] = principal.subject
        await service.calls.take(principal.subject)
        check_permission(principal, policy)
        note_recipient(scope, principal)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A method that the path does not have is answered before anyone is asked for a token.

        Nothing has a NUL in its name: it would come as far as the database, which takes none in any text.
        """
        self.check_method(scope["method"])
        await self.admit(scope)
        if "\x00" in scope["path"]:
            raise NOT_FOUND
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, whose answer is encrypted where that was asked for."""
        handle = super().get_route_handler()

        async def handle_and_seal(request: Request) -> Response:
            return answered(request.scope, await handle(request))

        return handle_and_seal

    def check_method(self, method: str) -> None:
        """Raises the 405 problem, which names the methods of all routes of this path (RFC 9110, section 10.2.1)."""
        if method not in self._policies:
            allowed = ", ".join(methods_of(self.path_format))
            raise Problem(405, "method-not-allowed", f"This path takes {allowed} only.", headers={"Allow": allowed})


class SlimRoute(PolicedRoute):
    """See the module's docstring."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Past FastAPI's machinery."""
        response = await self.answer(scope, receive, send)
        await response(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Response:
        """The answer, yet to be sent. Raises what the caller is to be told as a problem."""
        self.check_method(scope["method"])
        await self.admit(scope)
        endpoint: Callable[[Request], Awaitable[Response]] = self.endpoint
        return answered(scope, await endpoint(Request(scope, receive, send)))


async def _caller(scope: Scope, service: Service) -> Principal:
    """Whose token it is. An address that sends too many calls without a valid one is hardly asked for it.

    Others may have the same address, a proxy's or a firm's: who is known already is let in all the same, so that a
    stranger does not lock them out.
    """
    client = scope["client"]
    address = client[0] if client else None
    try:
        service.addresses.check(address)
    except RateLimited:
        known = recognize(scope, service.verifier)
        if known is None:
            raise
        return known
    try:
        try:
            return authenticate(scope, service.verifier)
        except UnknownKey:
            # The issuer may have a new key since its keys were read.
            if not await service.token_keys.look_again():
                raise
            return authenticate(scope, service.verifier)
    except (InvalidToken, Problem):
        service.addresses.charge(address)
        raise
