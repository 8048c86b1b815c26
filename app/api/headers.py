"""What the service reads from a request's headers: preferences, validators, keys."""

import re

from starlette.requests import Request

from app.api.problems import Problem

MAX_WAIT_S = 60
MAX_KEY_LENGTH = 255

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def wait_of(request: Request) -> int | None:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most 60; None where nothing is preferred."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(int(found[1]), MAX_WAIT_S) if found else None


def matches(request: Request, etag: str) -> bool:
    """The client has this representation already (RFC 9110, If-None-Match; weak comparison)."""
    sent = request.headers.get("if-none-match")
    if sent is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in sent.split(",")]
    return etag in tags or "*" in tags


def known_version(request: Request) -> int | None:
    """The version of the task in If-None-Match, for who waits for the next one."""
    found = re.fullmatch(r'(?:W/)?"(\d{1,9})(?:-[0-9a-f]+)?"', request.headers.get("if-none-match", "").strip())
    return int(found[1]) if found else None


def idempotency_key_of(request: Request) -> str | None:
    """The Idempotency-Key header, without the quotes that its draft asks for. Raises a 422 problem."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    key = values[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(values) > 1 or not _KEY.fullmatch(key) or len(key) > MAX_KEY_LENGTH:
        raise Problem(
            422,
            "invalid-idempotency-key",
            f"Idempotency-Key must be one value of 1 to {MAX_KEY_LENGTH} printable ASCII characters.",
        )
    return key
