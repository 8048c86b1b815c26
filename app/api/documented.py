"""What routes say of themselves in the OpenAPI document: answers, problems, bodies, headers.

Schemas are named, not spelled out: app/api/openapi.py puts them under components. What follows from a route's
policy (security, 401, 403, 503) is added there too, so that no route can forget it.
"""

from typing import Any

from pydantic import BaseModel

from app.api.conflicts import CONFLICTS
from app.api.examples import ENVELOPES
from app.api.problems import MEDIA_TYPE, NOT_FOUND, TITLES, UNAUTHENTICATED, Problem

JSON = "application/json"
JOSE = "application/jose"
ENVELOPE = "Envelope"
ENVELOPE_SCHEMA: dict[str, Any] = {
    "type": "string",
    "description": "A compact JWE (RFC 7516): RSA-OAEP-256 with A256GCM. A request is encrypted for a key of "
    "`/.well-known/jwks.json`, named by `kid`, and names its sender (`sub`). An answer is encrypted for the key "
    "that the token is bound to (`cnf.jwk`); inside is what the answer would be in JSON.",
    "pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){4}$",
    "maxLength": 200_000,
}
SCHEMAS = "#/components/schemas/"
EXAMPLES = "#/components/examples/"

Documentation = dict[str, Any]

_DESCRIPTIONS = {
    400: "The body is not JSON, an encrypted one does not open, or the cursor is none of this service's.",
    401: "No valid token: the same answer for every cause.",
    403: "The token lacks the permission, or an encrypted message names another sender.",
    404: "There is no such resource, or it is not yours.",
    406: "An encrypted answer is asked for and cannot be given, or the content is given in no other.",
    409: "It cannot be done as things stand; `type` says why.",
    413: "The body is larger than the service takes.",
    415: "The body is not sent as plain `application/json` (or, where it may come encrypted, `application/jose`).",
    422: "It cannot be taken as it is; `errors` names every member that is wrong.",
    429: "More at once than is allowed: wait as long as Retry-After says.",
    503: "Not now: the database is away, or the service is shutting down. Repeat the request.",
}

_HEADERS: dict[str, tuple[str, Documentation]] = {
    "Location": ("Where the task's status is.", {"type": "string", "examples": ["/v1/tasks/019…"]}),
    "Retry-After": ("Seconds to wait before asking again.", {"type": "integer", "minimum": 0}),
    "ETag": ("Names this state of the task; send it as If-None-Match.", {"type": "string"}),
    "Idempotent-Replayed": ("`true`: the message had been submitted before.", {"const": "true"}),
    "Preference-Applied": ("The wait that was granted, as `wait=N`.", {"type": "string"}),
    "WWW-Authenticate": ("What the service wants.", {"type": "string", "examples": ['Bearer error="invalid_token"']}),
}
_ON_EVERY_ANSWER: dict[str, Documentation] = {
    "RateLimit": {
        "description": "How many calls are left (`r`), and the seconds after which all of them are (`t`).",
        "schema": {"type": "string", "examples": ['"calls";r=5990;t=1']},
    },
    "RateLimit-Policy": {
        "description": "How many calls (`q`) may be made in so many seconds (`w`).",
        "schema": {"type": "string", "examples": ['"calls";q=6000;w=60']},
    },
}
RATE_HEADERS: Documentation = {name: {"$ref": f"#/components/headers/{name}"} for name in _ON_EVERY_ANSWER}
_PROBLEMS: dict[int, tuple[str, str, Documentation]] = {
    400: ("not-json", "The body is not JSON: Expecting ',' delimiter at line 1 column 9.", {}),
    401: (UNAUTHENTICATED.kind, UNAUTHENTICATED.detail, {"instance": "/v1/tasks"}),
    403: ("permission-missing", "The token lacks the permission submit_task.", {}),
    404: (NOT_FOUND.kind, NOT_FOUND.detail, {}),
    406: ("no-answer-key", "Nothing can be encrypted for you: the token is bound to no public key (cnf.jwk).", {}),
    413: ("body-too-large", "The body is larger than 1048576 bytes.", {}),
    415: ("unsupported-media-type", "Send the body as Content-Type: application/json.", {}),
    422: (
        "invalid-task",
        "The task is not acceptable; see errors.",
        {
            "task_id": "019dafb4-9c71-7c4e-8d0b-6a1f2e3d4c5b",
            "errors": [
                {
                    "pointer": "/body/task_specification/type",
                    "detail": "is not a kind of task that this service offers",
                },
                {"pointer": "/body/deadline", "detail": "has no time zone: end it with Z or an offset such as +01:00"},
            ],
        },
    ),
    429: (
        "rate-limit-exceeded",
        "More than 6000/minute (calls). Wait 1 s.",
        {"violated-policies": ["calls"], "limit": 6000, "window_s": 60},
    ),
    503: ("database-unavailable", "The database cannot be reached at the moment.", {}),
}
_PROBLEM_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_ALWAYS = {"WWW-Authenticate"}


def ref(model: type[BaseModel]) -> Documentation:
    """The schema of a model, by its name under components."""
    return {"$ref": SCHEMAS + model.__name__}


def answer(description: str, schema: Documentation | None = None, *headers: str, kind: str = JSON) -> Documentation:
    """A response; those `headers` are shown that this module knows."""
    documentation: Documentation = {"description": description}
    if headers:
        documentation["headers"] = {name: _header(name) for name in headers}
    if schema is not None:
        documentation["content"] = {kind: {"schema": schema}}
    return documentation


def problems(*statuses: int) -> dict[int | str, Documentation]:
    """The problems that a route may answer with, besides those that follow from its policy."""
    return {status: problem(status) for status in statuses}


def problem(status: int) -> Documentation:
    """The documentation of a problem."""
    name = f"problem.{status}"
    schema = {"$ref": SCHEMAS + "Problem"}
    documentation = answer(_DESCRIPTIONS[status], schema, *_PROBLEM_HEADERS.get(status, ()), kind=MEDIA_TYPE)
    documentation["content"][MEDIA_TYPE]["examples"] = {TITLES[status]: {"$ref": EXAMPLES + name}}
    return documentation


def conflicts(*kinds: str) -> dict[int | str, Documentation]:
    """The 409 of a route, with an example of each kind of conflict that it has (app/api/conflicts.py)."""
    schema = {"$ref": SCHEMAS + "Problem"}
    documentation = answer(_DESCRIPTIONS[409], schema, kind=MEDIA_TYPE)
    documentation["content"][MEDIA_TYPE]["examples"] = {
        kind: {"$ref": f"{EXAMPLES}problem.409.{kind}"} for kind in kinds
    }
    return {409: documentation}


def problem_examples() -> dict[str, Documentation]:
    """One problem of each status, and of each kind of conflict, for components/examples."""
    found = {f"problem.{status}": _example(status, *each) for status, each in _PROBLEMS.items()}
    found |= {f"problem.409.{kind}": _example(409, kind, *each) for kind, each in CONFLICTS.items()}
    return {name: {"value": value} for name, value in found.items()}


def header_components() -> dict[str, Documentation]:
    """The headers of every answer to a caller who is known, for components/headers."""
    return _ON_EVERY_ANSWER


def takes(model: type[BaseModel], examples: str, *, required: bool = True, encrypted: bool = False) -> Documentation:
    """A JSON body, with those of components/examples whose names begin with `examples`; it may come encrypted.

    The examples are filled in when the document is asked for: their times are those of that moment.
    """
    content: Documentation = {JSON: {"schema": ref(model), "x-examples-from": examples}}
    if encrypted:
        content[JOSE] = {"schema": {"$ref": SCHEMAS + ENVELOPE}, "x-examples-from": ENVELOPES}
    return {"requestBody": {"required": required, "content": content}}


def parameters(*found: Documentation) -> Documentation:
    """Parameters of a route that reads them from the request itself."""
    return {"parameters": list(found)}


def _example(status: int, kind: str, detail: str, members: Documentation) -> Documentation:
    return {**Problem(status, kind, detail).as_dict("urn:task-executor:request:8f1c2d3e4a5b-1f"), **members}


def _header(name: str) -> Documentation:
    description, schema = _HEADERS[name]
    return {"description": description, "schema": schema, **({"required": True} if name in _ALWAYS else {})}


def _request_header(name: str, description: str, schema: Documentation) -> Documentation:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


TASK_ID: Documentation = {
    "name": "task_id",
    "in": "path",
    "required": True,
    "description": "The id that the service gave the task.",
    "schema": {"type": "string", "format": "uuid"},
}
VALIDATE_ONLY: Documentation = {
    "name": "validate_only",
    "in": "query",
    "required": False,
    "description": "Make every check, keep nothing, and say what would happen.",
    "schema": {"type": "boolean", "default": False},
}
IDEMPOTENCY_KEY = _request_header(
    "Idempotency-Key",
    "Takes the place of message_id: one key, one task. 1 to 255 printable ASCII characters.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
)
PREFER = _request_header(
    "Prefer",
    "`wait=N` holds the answer back until the task changes, at most N seconds and at most 60 (RFC 7240).",
    {"type": "string", "examples": ["wait=20"]},
)
LAST_EVENT_ID = _request_header(
    "Last-Event-ID",
    "Sequence of the last message received: the stream goes on behind it. It comes before `after`.",
    {"type": "integer", "minimum": 0},
)
AFTER: Documentation = {
    "name": "after",
    "in": "query",
    "required": False,
    "description": "As Last-Event-ID, for a first connection.",
    "schema": {"type": "integer", "minimum": 0},
}
IF_NONE_MATCH = _request_header(
    "If-None-Match", "An ETag: 304 while the task is as it was then (RFC 9110).", {"type": "string"}
)
