"""What the claims of a verified token must say (RFC 7519, section 4.1), and the Principal that they make.

A claim of the wrong type is refused, never converted: `"9999999999"` is no time and `true` is not 1.
"""

import re
from dataclasses import dataclass
from typing import Any

from app.protocol.roles import ROLE_PERMISSIONS, AnswerKey, Permission, Principal, Role
from app.security.envelopes.recipients import answer_key
from app.security.errors import InvalidToken

_IDENTIFIER = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
"""OpenID Connect Core, section 2: a subject is at most 255 ASCII characters, compared as they are. Letters of
other scripts would let one name look like another, and so would spaces at the ends."""

_ROLES = {role.value: role for role in Role}
_PERMISSIONS = {permission.value: permission for permission in Permission}


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What this service expects of a token.

    `max_lifetime_s` bounds exp - iat. `leeway_s` is how far the issuer's clock may be from ours: a token is accepted
    while now < exp + leeway, from iat - leeway and nbf - leeway on.
    """

    issuer: str
    audience: str
    max_lifetime_s: float
    leeway_s: float

    def principal(self, claims: dict[str, Any], now: float) -> Principal:
        """Who the claims speak of, at `now` (seconds since the epoch). Raises InvalidToken."""
        expires_at = self._expiry(claims, now)
        self._check_parties(claims)
        roles = _roles(claims)
        return Principal(
            subject=_identifier(claims, "sub"),
            permissions=_permissions(claims, roles),
            admin=Role.ADMIN in roles,
            expires_at=expires_at,
            token_id=_identifier(claims, "jti") if "jti" in claims else None,
            answer_key=_answer_key(claims),
        )

    def _expiry(self, claims: dict[str, Any], now: float) -> float:
        expires_at, issued_at = _time(claims, "exp"), _time(claims, "iat")
        if now >= expires_at + self.leeway_s:
            raise InvalidToken("the token has expired")
        if issued_at > now + self.leeway_s:
            raise InvalidToken("the token was issued in the future")
        if not 0 < expires_at - issued_at <= self.max_lifetime_s:
            raise InvalidToken("the token's lifetime is longer than allowed, or not positive")
        if "nbf" in claims and _time(claims, "nbf") > now + self.leeway_s:
            raise InvalidToken("the token is not valid yet")
        return expires_at

    def _check_parties(self, claims: dict[str, Any]) -> None:
        if claims.get("iss") != self.issuer:
            raise InvalidToken("the issuer is another one")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if not all(isinstance(name, str) for name in audiences) or self.audience not in audiences:
            raise InvalidToken("the token is for another audience")


def _answer_key(claims: dict[str, Any]) -> AnswerKey | None:
    """The key of the `cnf` claim (RFC 7800), whose other members (`jkt`, `kid`) bind a token to something else."""
    confirmation = claims.get("cnf")
    if not isinstance(confirmation, dict) or "jwk" not in confirmation:
        return None
    return answer_key(confirmation["jwk"])


def is_identifier(text: object) -> bool:
    """Fit to be a subject or a token's id: 1 to 255 printable ASCII characters, no space at either end."""
    return isinstance(text, str) and _IDENTIFIER.fullmatch(text) is not None


def _identifier(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not is_identifier(value):
        raise InvalidToken(f"{name} is not a string of 1 to 255 printable ASCII characters")
    return value


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    # bool is a subclass of int. Infinity and NaN did not pass the JSON reader.
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidToken(f"{name} is not a number")
    return float(value)


def _roles(claims: dict[str, Any]) -> frozenset[Role]:
    names = claims.get("roles", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidToken("roles is not a list of strings")
    return frozenset(_ROLES[name] for name in names if name in _ROLES)


def _permissions(claims: dict[str, Any], roles: frozenset[Role]) -> frozenset[Permission]:
    """By the roles where the token has a `roles` claim, otherwise by its `scope`.

    Never both: a scope cannot add to what the roles say.
    """
    if "roles" in claims:
        return frozenset().union(*(ROLE_PERMISSIONS[role] for role in roles))
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise InvalidToken("scope is not a string")
    return frozenset(_PERMISSIONS[name] for name in scope.split(" ") if name in _PERMISSIONS)
