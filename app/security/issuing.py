"""Tokens that the service issues itself, with its own key: what `task-executor token` prints."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from app.protocol.roles import Role
from app.security.claims import is_identifier
from app.security.envelopes.recipients import Recipient, jwk_of
from app.security.own_key import SigningKey
from app.security.tokens import DEFAULT_AUDIENCE, DEFAULT_ISSUER, DEFAULT_MAX_LIFETIME_S


def issue(  # noqa: PLR0913 - each is a claim
    key: SigningKey,
    subject: str,
    roles: Iterable[Role],
    lifetime_s: int,
    now: float,
    issuer: str = DEFAULT_ISSUER,
    audience: str = DEFAULT_AUDIENCE,
    *,
    bound_to: Recipient | None = None,
) -> str:
    """A token for the subject, valid from `now` (seconds since the epoch) for `lifetime_s` seconds.

    Answers to its holder can be encrypted to the key that it is `bound_to`.

    Raises ValueError with a sentence where the subject or the lifetime would not be accepted.
    """
    if not is_identifier(subject):
        raise ValueError("the subject must be 1 to 255 printable ASCII characters without a space at either end")
    if not 0 < lifetime_s <= DEFAULT_MAX_LIFETIME_S:
        raise ValueError(f"the lifetime must be between 1 and {DEFAULT_MAX_LIFETIME_S} seconds")
    issued_at = int(now)
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "roles": sorted({Role(role).value for role in roles}),
        "iat": issued_at,
        "exp": issued_at + lifetime_s,
        "jti": uuid4().hex,
    }
    if bound_to is not None:
        claims["cnf"] = {"jwk": jwk_of(bound_to)}
    return key.sign(claims)
