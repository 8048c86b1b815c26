"""A bearer token taken apart: the compact form of RFC 7515, section 3.1, read more strictly than any library does.

Everything that can be decided without a key is decided here, before any cryptography.
"""

from typing import Any, NamedTuple

from app.protocol import strict_json
from app.security import base64url
from app.security.errors import InvalidToken

MAX_TOKEN_BYTES = 8192

_SEGMENTS = 3
"""Header, payload and signature. An encrypted token has five."""

_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""RFC 7519, section 5.1 and RFC 9068, section 2.1; media types are compared without regard to case."""

_THUMBPRINTS = frozenset({"x5t", "x5t#S256"})
"""Digests of a certificate. Microsoft's issuers send one beside `kid`: they name no key to us and are not used."""

_MEMBERS = frozenset({"alg", "typ", "kid"}) | _THUMBPRINTS


class CompactToken(NamedTuple):
    """The parts of a well-formed token of which nothing is verified yet.

    `signed` is what the signature covers: the first two segments as sent, with the dot between them.
    """

    algorithm: str
    kid: str | None
    signed: bytes
    payload: bytes
    signature: bytes


def token_bytes(token: object) -> bytes:
    """The token as ASCII bytes of at most MAX_TOKEN_BYTES. Raises InvalidToken for anything else."""
    if not isinstance(token, bytes | str):
        raise InvalidToken("the token is not text")
    # The size first: nothing below may cost more than the cap allows.
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken("the token is too long")
    if isinstance(token, bytes):
        return token
    try:
        return token.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidToken("the token is not ASCII") from None


def read_compact(token: bytes) -> CompactToken:
    """The three segments, decoded, and the header's members, checked. Raises InvalidToken."""
    segments = token.split(b".")
    if len(segments) != _SEGMENTS:
        raise InvalidToken("the token does not have three segments")
    try:
        header, payload, signature = map(base64url.decode, segments)
    except ValueError:
        raise InvalidToken("a segment is not canonical base64url") from None
    members = json_object(header, "header")
    _check_members(members)
    return CompactToken(_algorithm(members), _kid(members), token[: token.rindex(b".")], payload, signature)


def json_object(raw: bytes, part: str) -> dict[str, Any]:
    """The JSON object in `raw`: no duplicate names, no NaN, no deep nesting. Raises InvalidToken."""
    try:
        value = strict_json.parse(raw)
    except (strict_json.NotJson, strict_json.ForbiddenJson):
        raise InvalidToken(f"the {part} is not strict JSON") from None
    if not isinstance(value, dict):
        raise InvalidToken(f"the {part} is not a JSON object")
    return value


def _check_members(members: dict[str, Any]) -> None:
    if not members.keys() <= _MEMBERS:
        # `crit` would have to be understood; `jwk`, `jku`, `x5c` and `x5u` bring a key of the sender's choice.
        raise InvalidToken("the header has a member that is not allowed")
    kind = members.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise InvalidToken("the header's typ is not that of an access token")


def _algorithm(members: dict[str, Any]) -> str:
    algorithm = members.get("alg")
    if not isinstance(algorithm, str):
        raise InvalidToken("the header's alg is not a string")
    return algorithm


def _kid(members: dict[str, Any]) -> str | None:
    if "kid" not in members:
        return None
    kid = members["kid"]
    if not isinstance(kid, str):
        raise InvalidToken("the header's kid is not a string")
    return kid
