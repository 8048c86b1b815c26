"""Errors that nobody has foreseen, answered where the other middleware still sees the answer.

Starlette's own handler for them stands outside of all middleware, and raises each again for the server to log: once
more, without the request's id.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response


class Unforeseen:
    """Middleware that answers them with a 500 problem. Raises those that come when an answer has begun. Plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, and answers what goes wrong."""
        begun = False

        async def note_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note_begin)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            await problem_response(error, scope["path"])(scope, receive, send)
