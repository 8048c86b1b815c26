"""An HTTP client for other people's addresses: guarded, bounded, and without any cleverness.

Made of httpcore, the transport underneath httpx, which follows no redirect, decodes no content, keeps no cookie and
reads no proxy from the environment: what it cannot do nobody can talk it into. Every request has a connection of its
own, so that the name is resolved and checked for each.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import NamedTuple, Self

import httpcore

from app.outbound.connecting import GuardedBackend, Resolver, SystemResolver
from app.outbound.errors import Cause, ForbiddenTarget, NoAnswer
from app.outbound.rules import OutboundRules, Target

TOTAL_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 65_536
"""Of the body. The headers end at 100 kB: the HTTP parser takes no more."""

WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})

Headers = Sequence[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """What came back: at most as much of the body as was asked for, as it came (`whole`: there was no more)."""

    status: int
    headers: Headers
    body: bytes
    whole: bool

    def header(self, name: bytes) -> bytes | None:
        """The first header of that name (in lower case)."""
        return next((value for found, value in self.headers if found.lower() == name), None)


class OutboundClient:
    """See the module's docstring.

    `trust` is a TLS context of one's own; else the usual authorities, or those that the operator's SSL_CERT_FILE or
    SSL_CERT_DIR names.
    """

    def __init__(
        self, rules: OutboundRules, *, resolver: Resolver | None = None, trust: ssl.SSLContext | None = None
    ) -> None:
        self.rules = rules
        self._resolver = resolver or SystemResolver()
        self._trust = trust
        self._backend = GuardedBackend(rules, self._resolver)

    async def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        content: bytes = b"",
        *,
        timeout_s: float = TOTAL_TIMEOUT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """One request and its answer, all within `timeout_s` seconds. An answer of more bytes is cut off there.

        Raises ForbiddenTarget, NoAnswer.
        """
        target = self.rules.target_of(url)
        request = _request(method, target, headers, content, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request, max_bytes)
        except (ForbiddenTarget, NoAnswer):
            raise
        except (TimeoutError, httpcore.TimeoutException):
            raise NoAnswer(Cause.TIMEOUT) from None
        except httpcore.ConnectError as error:
            raise NoAnswer(Cause.TLS if _is_tls(error) else Cause.UNREACHABLE) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
            raise NoAnswer(Cause.BROKEN) from None

    def close(self) -> None:
        """Lets go of the resolver."""
        self._resolver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _exchange(self, request: httpcore.Request, max_bytes: int) -> Answer:
        async with httpcore.AsyncConnectionPool(
            ssl_context=self._tls(), max_keepalive_connections=0, network_backend=self._backend
        ) as pool:
            response = await pool.handle_async_request(request)
            try:
                body, whole = await _bounded(response, max_bytes)
            finally:
                await response.aclose()
            return Answer(response.status, response.headers, body, whole)

    def _tls(self) -> ssl.SSLContext:
        if self._trust is None:
            # Reading the authorities takes 20 ms, and httpx, which knows where they are, 40: at the first use, and only
            # where there is one.
            from httpx import create_ssl_context  # noqa: PLC0415 - see above

            self._trust = create_ssl_context()
        return self._trust


def _request(method: str, target: Target, headers: Headers, content: bytes, timeout_s: float) -> httpcore.Request:
    url = httpcore.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
    )
    own = [(b"host", target.authority.encode()), (b"connection", b"close")]
    if content or method not in WITHOUT_BODY:
        own.append((b"content-length", str(len(content)).encode()))
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)
    return httpcore.Request(method, url, headers=[*own, *headers], content=content, extensions={"timeout": timeouts})


def _is_tls(error: BaseException | None) -> bool:
    """An error of TLS stands behind this one."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


async def _bounded(response: httpcore.Response, max_bytes: int) -> tuple[bytes, bool]:
    """The body up to so many bytes, and whether that is all of it."""
    body = bytearray()
    if max_bytes:
        async for part in response.aiter_stream():
            body += part
            if len(body) > max_bytes:
                return bytes(body[:max_bytes]), False
    return bytes(body), bool(max_bytes)
