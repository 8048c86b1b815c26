"""Whose tokens count no more although they have not expired: this node's copy of the list in the database."""

from collections.abc import Iterable
from typing import NamedTuple

from app.protocol.roles import Principal


class Revoked(NamedTuple):
    """The tokens of a subject (`kind` "subject") or the one of an id ("token_id"), before `until` (epoch seconds)."""

    kind: str
    value: str
    until: float


class RevokedTokens:
    """What is revoked, in one look-up."""

    def __init__(self, entries: Iterable[Revoked] = ()) -> None:
        self._until = {(entry.kind, entry.value): entry.until for entry in entries}

    def has(self, principal: Principal, now: float) -> bool:
        """The principal's token is refused at `now` (seconds since the epoch)."""
        until = self._until
        return now < until.get(("subject", principal.subject), 0.0) or (
            principal.token_id is not None and now < until.get(("token_id", principal.token_id), 0.0)
        )
