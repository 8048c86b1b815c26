"""One problem (RFC 9457): what it tells, apart from which error means which (problems.py)."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.protocol.problems import MemberError, as_json

MEDIA_TYPE = "application/problem+json"

TITLES = {
    400: "Malformed request",
    401: "Authentication required",
    403: "Permission missing",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable as asked for",
    408: "Too slow",
    409: "Conflict",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Not acceptable",
    429: "Too many requests",
    431: "Head too large",
    500: "Internal error",
    503: "Temporarily unavailable",
}


class Problem(Exception):
    """An error to be answered. `kind` completes the problem's type: a short name that clients may switch on."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[MemberError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def as_dict(self, instance: str) -> dict[str, Any]:
        """The problem's members (RFC 9457, section 3)."""
        body: dict[str, Any] = {
            "type": f"urn:task-executor:problem:{self.kind}",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            **self.members,
        }
        if self.errors:
            body["errors"] = as_json(self.errors)
        return body


def too_large(limit: int) -> Problem:
    """The body is larger than allowed; the connection is closed."""
    return Problem(413, "body-too-large", f"The body is larger than {limit} bytes.", headers={"Connection": "close"})
