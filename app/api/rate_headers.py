"""RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10) on every answer to a caller who is known.

The route puts the caller's subject into the scope; the hot path and, for the ordinary routes, this middleware
complete the answer, whatever it is: also a problem tells how many calls are left.
"""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.answers import Header

SUBJECT = "task_executor.subject"


def rate_headers(scope: Scope) -> list[Header]:
    """What to add to the answer; nothing where nobody was authenticated or nothing is limited."""
    subject = scope.get(SUBJECT)
    if subject is None:
        return []
    allowance = scope["app"].state.service.calls.standing(subject)
    if allowance is None:
        return []
    return [
        (b"ratelimit", allowance.limit_header(time.monotonic())),
        (b"ratelimit-policy", allowance.policy_header),
    ]


class RateHeaders:
    """Middleware that adds them. Plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, and completes the answer's headers."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *rate_headers(scope)]
            await send(message)

        await self._app(scope, receive, complete if scope["type"] == "http" else send)
