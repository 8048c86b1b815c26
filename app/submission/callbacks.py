"""Callbacks of submitted messages: checked, and their secrets sealed before anything of a message is kept.

The secret of a callback is nowhere but in its sealed form: not in the stored message (which therefore is not byte for
byte the one that came), not in its history, not in the digest of its content. There a fingerprint stands for it: with
another secret it is another message, and who has the database alone cannot try guesses.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from app.outbound.errors import ForbiddenTarget
from app.outbound.rules import OutboundRules
from app.protocol.callbacks import Callback, Registration, key_of, sealing_purpose, sink_of
from app.protocol.messages import SubmitTask
from app.protocol.problems import MemberError
from app.security.sealing import Sealer
from app.submission.task_validator import SPECIFICATION

_PATH = ("body", "task_specification", "callback")


SealedSecretOf = Callable[[str], Awaitable[bytes | None]]
"""The sealed secret of a task's callback, where it has one of its own."""


class Callbacks:
    """See the module's docstring."""

    def __init__(self, rules: OutboundRules, sealer: Sealer, sealed_secret_of: SealedSecretOf) -> None:
        self._rules = rules
        self._sealer = sealer
        self._sealed_secret_of = sealed_secret_of

    def check(self, message: SubmitTask) -> list[MemberError]:
        """What is wrong with the callback's address."""
        callback = message.body.task_specification.callback
        if callback is None:
            return []
        try:
            self._rules.target_of(callback.url)
        except ForbiddenTarget as error:
            return [MemberError(f"{SPECIFICATION}/callback/url", str(error))]
        return []

    def register(self, callback: Callback | None, submitter: str) -> Registration | None:
        """The callback as it is stored. It has been checked."""
        if callback is None:
            return None
        sealed = None
        if callback.secret is not None:
            sealed = self._sealer.seal(key_of(callback.secret), sealing_purpose(submitter))
        events = None if callback.events is None else tuple(dict.fromkeys(callback.events))
        sink = sink_of(self._rules.target_of(callback.url).origin, submitter)
        return Registration(callback.url, sink, events, callback.acknowledge, sealed)

    async def with_secret_of(self, failed_task_id: str, made: Registration | None) -> Registration | None:
        """The callback of a retried message, which was kept without its secret: that is still with the failed task."""
        if made is None:
            return None
        sealed = await self._sealed_secret_of(failed_task_id)
        return Registration(made.url, made.sink, made.events, made.acknowledge, sealed)

    def kept_text(self, value: Any, text: str) -> str:
        """The message's text as it may be kept: as it came, or written anew without the callback's secret."""
        if _secret_in(value) is None:
            return text
        return json.dumps(_with_secret(value), ensure_ascii=False, separators=(",", ":"))

    def covered(self, value: Any) -> Any:
        """The message with a fingerprint in place of the callback's secret, for the digest of its content."""
        secret = _secret_in(value)
        if secret is None:
            return value
        return _with_secret(value, secret={"fingerprint": self._sealer.fingerprint(json.dumps(secret))})


def _secret_in(value: Any) -> Any:
    """Whatever stands where a callback's secret does, in a message that may be wrong in any way."""
    for name in _PATH:
        value = value.get(name) if isinstance(value, dict) else None
    return value.get("secret") if isinstance(value, dict) else None


def _with_secret(value: Any, **secret: Any) -> Any:
    """A copy of the message with another secret, or without one."""
    copy = inner = dict(value)
    for name in _PATH:
        inner[name] = dict(inner[name])
        inner = inner[name]
    del inner["secret"]
    inner.update(secret)
    return copy
