"""A compact JWE taken apart (RFC 7516, section 3.1), read more strictly than any library does.

Everything that can be decided without a key is decided here. python-jose, which does the signatures of this
service, is not fit for envelopes: it accepts RSA1_5 and RSA-OAEP with SHA-1, vectors and tags of any length, `zip`,
`crit` and junk between the characters, tells causes apart, and refuses what it has itself encrypted beyond 191 kB.
What would be left of it behind a front that mends all this are two calls of `cryptography`; cipher.py makes them.
"""

from typing import Any, NamedTuple

from app.protocol import strict_json
from app.security import base64url
from app.security.envelopes.errors import EnvelopeTooLarge, InvalidEnvelope

KEY_ALGORITHM = "RSA-OAEP-256"
CONTENT_ALGORITHM = "A256GCM"

MAX_ENVELOPE_BYTES = 200_000
MAX_HEADER_BYTES = 4_096
"""Of the protected header as it is sent: a few short members and no more."""

IV_BYTES = 12
TAG_BYTES = 16
"""RFC 7518, section 5.3. Other lengths would move the boundary between tag and ciphertext."""

_SEGMENTS = 5

_MEMBERS = frozenset({"alg", "enc", "kid", "typ", "cty", "sub"})
"""`crit` would have to be understood, `zip` is a bomb, and `jku`, `jwk`, `x5c` bring a key of the sender's choice.
`sub` is the claim that RFC 7519, section 5.3 allows in a header."""

_TYPES = frozenset({"jose", "jwe", "application/jose"})
_CONTENT_TYPES = frozenset({"json", "application/json"})
"""Not `JWE` or `JWT`: an envelope in an envelope is none of ours."""


class Envelope(NamedTuple):
    """The parts of a well-formed envelope of which nothing has been opened yet.

    `protected` is the first segment as sent, which the tag covers.
    """

    kid: str
    subject: Any
    protected: bytes
    encrypted_key: bytes
    iv: bytes
    ciphertext: bytes
    tag: bytes


def read_envelope(text: bytes, limit: int = MAX_ENVELOPE_BYTES) -> Envelope:
    """The five segments, decoded, and the header's members, checked. Raises EnvelopeTooLarge, InvalidEnvelope."""
    # The size first: nothing below may cost more than the limit allows.
    if len(text) > limit:
        raise EnvelopeTooLarge(limit)
    segments = text.split(b".", _SEGMENTS)
    if len(segments) != _SEGMENTS:
        raise InvalidEnvelope("the envelope does not have five segments")
    if len(segments[0]) > MAX_HEADER_BYTES:
        raise InvalidEnvelope("the header is too long")
    try:
        header, encrypted_key, iv, ciphertext, tag = map(base64url.decode, segments)
    except ValueError:
        raise InvalidEnvelope("a segment is not canonical base64url") from None
    members = _json_object(header)
    _check_members(members)
    if len(iv) != IV_BYTES or len(tag) != TAG_BYTES:
        raise InvalidEnvelope("the initialization vector or the tag has another length")
    return Envelope(_kid(members), members.get("sub"), segments[0], encrypted_key, iv, ciphertext, tag)


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        value = strict_json.parse(raw)
    except (strict_json.NotJson, strict_json.ForbiddenJson):
        raise InvalidEnvelope("the header is not strict JSON") from None
    if not isinstance(value, dict):
        raise InvalidEnvelope("the header is not a JSON object")
    return value


def _check_members(members: dict[str, Any]) -> None:
    if not members.keys() <= _MEMBERS:
        raise InvalidEnvelope("the header has a member that is not allowed")
    # Compared, not looked up in a set: a list or an object is no algorithm and has no hash.
    if members.get("alg") != KEY_ALGORITHM or members.get("enc") != CONTENT_ALGORITHM:
        raise InvalidEnvelope("the header names other algorithms")
    for name, known in (("typ", _TYPES), ("cty", _CONTENT_TYPES)):
        value = members.get(name)
        if name in members and not (isinstance(value, str) and value.lower() in known):
            raise InvalidEnvelope(f"the header's {name} is another one")


def _kid(members: dict[str, Any]) -> str:
    kid = members.get("kid")
    if not isinstance(kid, str):
        raise InvalidEnvelope("the header's kid is not a string")
    return kid
