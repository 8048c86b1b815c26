"""The strict front around python-jose: a bearer token to a Principal, or InvalidToken and nothing else.

python-jose alone accepts `crit`, duplicate claims, many spellings of one token, any kid and a missing exp, and lets
foreign exceptions out. So it only checks signatures here; before it compact.py takes the token apart and keys.py
finds the one key, after it claims.py reads the claims.
"""

from hashlib import sha256

from app.protocol.roles import Principal
from app.security.claims import ClaimRules
from app.security.compact import MAX_TOKEN_BYTES, json_object, read_compact, token_bytes
from app.security.errors import InvalidToken
from app.security.keys import KeySet
from app.security.revoked import RevokedTokens

DEFAULT_ISSUER = "task-executor"
DEFAULT_AUDIENCE = "task-executor"
DEFAULT_MAX_LIFETIME_S = 86_400
DEFAULT_LEEWAY_S = 30
CACHED_TOKENS = 10_000
"""Verified tokens that are remembered, about 5 MB; then the oldest is forgotten."""


class TokenVerifier:
    """Verifies tokens by a set of keys and remembers the outcome by the token's digest. For one event loop's thread."""

    def __init__(self, keys: KeySet, rules: ClaimRules, cached_tokens: int = CACHED_TOKENS) -> None:
        self._keys = keys
        self._rules = rules
        self._cached_tokens = cached_tokens
        # By SHA-256, so that no bearer token lies in memory. Only verified tokens get in: a stranger cannot fill it.
        self._verified: dict[bytes, Principal] = {}
        self._revoked = RevokedTokens()
        self.longest_s = rules.max_lifetime_s + rules.leeway_s
        """Seconds for which a token that is made now may be accepted at most."""

    def trust(self, keys: KeySet) -> None:
        """From now on these keys, and no other. What other keys have verified is verified anew."""
        self._keys = keys
        self._verified.clear()

    def revoke(self, revoked: RevokedTokens, now: float) -> None:
        """From now on these are refused, also those verified before. A revoked token is never remembered."""
        self._revoked = revoked
        self._verified = {
            digest: principal for digest, principal in self._verified.items() if not revoked.has(principal, now)
        }

    def has_revoked(self, principal: Principal, now: float) -> bool:
        """The principal's token has been revoked since it was verified: what it holds open must end."""
        return self._revoked.has(principal, now)

    def verify(self, token: bytes | str, now: float) -> Principal:
        """Who sent the token, at `now` (seconds since the epoch). Raises InvalidToken."""
        raw = token_bytes(token)
        digest = sha256(raw).digest()
        known = self._known(digest, now)
        if known is not None:
            return known
        principal = self._verify_anew(raw, now)
        self._remember(digest, principal)
        return principal

    def remembered(self, token: bytes, now: float) -> Principal | None:
        """As `verify`, without any arithmetic: None for a token that has not been verified lately."""
        return None if len(token) > MAX_TOKEN_BYTES else self._known(sha256(token).digest(), now)

    def _known(self, digest: bytes, now: float) -> Principal | None:
        known = self._verified.get(digest)
        # Never beyond exp: within the leeway after it, each use is verified anew.
        return known if known is not None and now < known.expires_at else None

    def _verify_anew(self, raw: bytes, now: float) -> Principal:
        token = read_compact(raw)
        self._keys.check_signature(token)
        principal = self._rules.principal(json_object(token.payload, "payload"), now)
        if self._revoked.has(principal, now):
            raise InvalidToken("the token or its subject has been revoked")
        return principal

    def _remember(self, digest: bytes, principal: Principal) -> None:
        self._verified.pop(digest, None)
        if len(self._verified) >= self._cached_tokens:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = principal
