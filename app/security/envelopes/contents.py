"""What came encrypted, at rest: sealed under an AES-256 key of each task, which is wrapped by the ring's RSA key.

Sealed are a task's submission, its result, the errors of its handler and the details of its progress; each becomes
`{"sealed": "…"}`, the vector, the ciphertext and the tag of A256GCM in base64url. The id of the task and the name of
the member are authenticated with it, so that whoever writes the database cannot give one task's content to another.
What the scheduler needs to know (type, priority, resources, labels, times, states) stays as it is.

The text of a sealed member goes wherever the member goes: into the row, the history and its hashes, lists and
answers. Only what is made here from a task (`opened`, `message`, `parameters`) shows the content.
"""

import hmac
import json
import os
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.protocol.history import Item, MessageName
from app.protocol.task import Task
from app.security import base64url
from app.security.envelopes.cipher import KEY_BYTES, wrap
from app.security.envelopes.compact import IV_BYTES
from app.security.envelopes.errors import ContentDamaged
from app.security.envelopes.key_ring import KeyRing
from app.security.envelopes.opener import Opener

CACHED_KEYS = 10_000
"""Content keys that are remembered, so that polls of a task do not unwrap its key again and again: 3 MB."""

SEALED = "sealed"
HIDDEN = "The task came encrypted, and so did what went wrong with it: ask for an encrypted answer."


@dataclass(frozen=True, slots=True)
class ContentKey:
    """The key of one task's content. Its repr shows nothing of it."""

    task_id: str
    secret: bytes = field(repr=False)

    def seal(self, member: str, text: str) -> str:
        """The text of a member (JSON) as JSON that nobody reads without the key."""
        iv = os.urandom(IV_BYTES)
        sealed = iv + AESGCM(self.secret).encrypt(iv, text.encode(), self._bound_to(member))
        return f'{{"{SEALED}":"{base64url.encode(sealed).decode()}"}}'

    def seal_error(self, error: dict[str, Any]) -> dict[str, Any]:
        """An error of which only the kind, a name out of the code, is left to read."""
        sealed = json.loads(self.seal("error", json.dumps(error)))
        return {"kind": error["kind"], "message": HIDDEN, **sealed}

    def open(self, member: str, text: str | None) -> str | None:
        """The text that was sealed; what is not sealed (the service's own words) as it is. Raises ContentDamaged."""
        sealed = None if text is None else json.loads(text)
        if not isinstance(sealed, dict) or SEALED not in sealed:
            return text
        try:
            raw = base64url.decode(sealed[SEALED].encode())
            return AESGCM(self.secret).decrypt(raw[:IV_BYTES], raw[IV_BYTES:], self._bound_to(member)).decode()
        except (InvalidTag, ValueError):
            raise ContentDamaged(self.task_id, member) from None

    def digest(self, canonical: bytes) -> bytes:
        """What tells equal contents of this task from others, and tells nothing to who has not the key."""
        return hmac.digest(self.secret, canonical, sha256)

    def _bound_to(self, member: str) -> bytes:
        return f"{self.task_id}\n{member}".encode()


class Contents:
    """Seals and opens the content of tasks. One a process."""

    def __init__(self, ring: KeyRing, opener: Opener, cached_keys: int = CACHED_KEYS) -> None:
        self._ring = ring
        self._opener = opener
        self._cached_keys = cached_keys
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def new_key(self, task: Task, answers_to: str | None = None) -> ContentKey:
        """A key for a new task, which bears it (wrapped) from now on.

        `answers_to` is the public JWK to which what the task's submitter is told unasked (webhooks) is encrypted.
        """
        secret, current = os.urandom(KEY_BYTES), self._ring.current
        wrapped = base64url.encode(wrap(secret, current.public)).decode()
        bound = "" if answers_to is None else f',"answers_to":{answers_to}'
        task.encryption_json = f'{{"kid":"{current.kid}","key":"{wrapped}"{bound}}}'
        self._remember(wrapped, secret)
        return ContentKey(task.task_id, secret)

    async def key_of(self, task: Task) -> ContentKey:
        """The key of a task that came encrypted. Raises KeyMissing."""
        assert task.encryption_json is not None, "only what came encrypted has a key"
        encryption = json.loads(task.encryption_json)
        wrapped = encryption["key"]
        secret = self._known.get(wrapped)
        if secret is None:
            secret = await self._opener.unwrap(encryption["kid"], base64url.decode(wrapped.encode()))
        self._remember(wrapped, secret)
        return ContentKey(task.task_id, secret)

    async def opened(self, task: Task) -> Task:
        """The task with its content to be read: to be shown to its submitter, and never to be written.

        A task that came in plain is answered as it is. Raises ContentUnavailable.
        """
        if task.encryption_json is None:
            return task
        key = await self.key_of(task)
        return replace(
            task,
            result_json=key.open("result", task.result_json),
            error_json=key.open("error", task.error_json),
            progress_details_json=key.open("progress_details", task.progress_details_json),
        )

    async def message(self, task: Task, item: Item) -> Item:
        """A message of the task's history with its content to be read; its hashes are still those of what is stored.

        Raises ContentUnavailable.
        """
        if task.encryption_json is None:
            return item
        key = await self.key_of(task)
        if item.name is MessageName.SUBMIT_TASK:
            return item._replace(message=key.open("submission", task.submission) or "null")
        return item._replace(message=_opened_message(key, item.message))

    async def submission(self, task: Task) -> str:
        """The text of the task's submit_task message. Raises ContentUnavailable."""
        if task.encryption_json is None:
            return task.submission
        return (await self.key_of(task)).open("submission", task.submission) or "null"

    @staticmethod
    def answers_to(task: Task) -> str | None:
        """The public JWK, as JSON, to which what the task's submitter is told unasked is encrypted."""
        bound = json.loads(task.encryption_json or "{}").get("answers_to")
        return None if bound is None else json.dumps(bound, separators=(",", ":"))

    def kids(self) -> list[str]:
        """The names of the keys whose content this node can open."""
        return [key.kid for key in self._ring.keys]

    def _remember(self, wrapped: str, secret: bytes) -> None:
        self._known[wrapped] = secret
        self._known.move_to_end(wrapped)
        if len(self._known) > self._cached_keys:
            self._known.popitem(last=False)


def _opened_message(key: ContentKey, text: str) -> str:
    if f'"{SEALED}"' not in text:
        return text
    message = json.loads(text)
    details = message["body"]["details"]
    for member in ("result", "error", "progress_details"):
        opened = key.open(member, json.dumps(details.get(member)))
        details[member] = None if opened is None else json.loads(opened)
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))
