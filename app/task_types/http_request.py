"""The `http_request` task: calls a URL of a host that the operator allows, and returns the answer.

The URL is judged by the same guard as those of webhooks (app/outbound), at submission and again when the connection is
made. Which hosts may be called is the operator's list; it is empty at first, and it is looked at by the node that runs
the task.
"""

import base64
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.outbound.client import Answer, OutboundClient
from app.outbound.errors import ForbiddenTarget, NoAnswer
from app.outbound.retry_after import retry_after_s
from app.outbound.rules import OutboundRules, Target
from app.protocol.resources import Resources
from app.task_types.context import TaskContext
from app.task_types.definition import PermanentError, RetryLater, task_type

TIMEOUT_S = 10.0
WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
"""Statuses below 500 after which the same request may succeed later (RFC 9110, RFC 8470, RFC 6585)."""

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")
_OURS = frozenset(
    ("host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive")
)


class _Door:
    """What this process may call: closed until bootstrap opens it."""

    client: OutboundClient | None = None
    hosts: tuple[str, ...] = ()
    rules = OutboundRules()


_door = _Door()


def open_door(client: OutboundClient, hosts: Iterable[str]) -> None:
    """Lets tasks call these hosts: `api.example.com`, `api.example.com:8443`, or all below one by `*.example.com`."""
    _door.client, _door.hosts, _door.rules = client, tuple(host.lower() for host in hosts), client.rules


def _callable(url: str) -> str:
    _door.rules.target_of(url)
    return url


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"must hold names and values of printable ASCII, which {name[:50]!r} is not")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise ValueError(f"must not hold {name[:50]!r}: the service sets it")
    return headers


class HttpRequestParameters(BaseModel):
    """One request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, AfterValidator(_callable)] = Field(
        min_length=1, description="An https:// URL of a host that the operator allows."
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Annotated[dict[str, Annotated[str, StringConstraints(max_length=8192)]], AfterValidator(_headers)] = Field(
        default_factory=dict, max_length=50, description="They become part of the task's history: no place for secrets."
    )
    json_body: Any = Field(default=None, alias="json", description="Sent as application/json.")
    body: str | None = Field(default=None, description="Sent as it is, in UTF-8.")

    @model_validator(mode="after")
    def _has_one_body(self) -> "HttpRequestParameters":
        if self.json_body is not None and self.body is not None:
            raise ValueError("has json and body: send one of them")
        return self


@task_type(
    "http_request",
    parameters=HttpRequestParameters,
    resources=Resources(cpu=0.01, memory_mb=1),
    timeout_s=30,
    examples=(
        {"url": "https://example.com/", "method": "GET"},
        {"url": "https://example.com/orders", "method": "POST", "json": {"order": 7}},
    ),
)
async def http_request(parameters: HttpRequestParameters, context: TaskContext) -> dict[str, Any]:
    """Calls a URL and returns status, headers and up to 64 kB of the answer.

    Only hosts that the operator lists in `TASK_EXECUTOR_HTTP_REQUEST_HOSTS` are called, at public addresses and over
    https unless the operator allows more. No redirect is followed. No answer within 10 s, a status from 500 on, and
    408, 425 and 429 are worth another attempt, not before a Retry-After of the answer says (a day at most); every other
    status that is not 2xx fails the task for good. A request may be sent more than once: it carries the task's id as
    its Idempotency-Key unless it has one of its own.
    """
    client = _open_to(_door.rules.target_of(parameters.url))
    content, headers = _message(parameters, context.task_id)
    try:
        answer = await client.send(parameters.method, parameters.url, headers, content, timeout_s=TIMEOUT_S)
    except ForbiddenTarget as error:
        raise PermanentError(f"the url {error}") from None
    except NoAnswer as error:
        raise ConnectionError(f"the host gave {error}") from None
    _check(answer, datetime.now(UTC))
    return _result(answer)


def _open_to(target: Target) -> OutboundClient:
    """The client. Raises PermanentError where this node may not call the target."""
    if _door.client is None or not any(_is_named(target, host) for host in _door.hosts):
        raise PermanentError(
            f"the host {target.authority} is not among those that this service may call "
            "(its operator lists them in TASK_EXECUTOR_HTTP_REQUEST_HOSTS)"
        )
    return _door.client


def _is_named(target: Target, host: str) -> bool:
    if host.startswith("*."):
        return target.authority.endswith(host[1:])
    return target.authority == host


def _message(parameters: HttpRequestParameters, task_id: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body, and the headers with those that go without saying."""
    headers = {name.lower(): value for name, value in parameters.headers.items()}
    content = (parameters.body or "").encode()
    if parameters.json_body is not None:
        content = json.dumps(parameters.json_body, ensure_ascii=False).encode()
        headers.setdefault("content-type", "application/json")
    headers.setdefault("user-agent", "task-executor")
    headers.setdefault("accept", "*/*")
    headers.setdefault("idempotency-key", task_id)
    return content, [(name.encode(), value.encode()) for name, value in headers.items()]


def _check(answer: Answer, now: datetime) -> None:
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 - RFC 9110, section 15.3
        return
    if status >= 500 or status in WORTH_ANOTHER_TRY:  # noqa: PLR2004 - RFC 9110, section 15.6
        raise RetryLater(f"the host answered {status}", retry_after_s(answer.header(b"retry-after"), now) or 0.0)
    raise PermanentError(f"the host answered {status}")


def _result(answer: Answer) -> dict[str, Any]:
    try:
        body, encoding = answer.body.decode(), "text"
    except UnicodeDecodeError:
        body, encoding = base64.b64encode(answer.body).decode(), "base64"
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
    return {
        "status": answer.status,
        "headers": headers,
        "body": body,
        "encoding": encoding,
        "truncated": not answer.whole,
    }
