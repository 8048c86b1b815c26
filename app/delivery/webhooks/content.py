"""What is sent: the one place where a message to the submitter becomes the body of a webhook."""

from typing import NamedTuple

from app.protocol.history import Item
from app.security.envelopes.contents import Contents
from app.security.envelopes.recipients import recipient_of
from app.storage.queries import StatusReader


class Content(NamedTuple):
    """A body and its media type."""

    media_type: bytes
    body: bytes


def content_of(item: Item) -> Content:
    """The task_status message, exactly as it stands in the history."""
    return Content(b"application/json", item.message.encode())


class Bodies:
    """The bodies of webhooks: plain, or encrypted where the task came so from a submitter with a key of its own."""

    def __init__(self, reader: StatusReader, contents: Contents) -> None:
        self.reader = reader
        self._contents = contents

    async def body_of(self, task_id: str, item: Item) -> Content:
        """What is sent of a message. Raises ContentUnavailable, StorageUnavailable."""
        # An encrypted task says so in each message to its submitter: the others need no second look.
        if '"encrypted":true' not in item.message:
            return content_of(item)
        task = await self.reader.get(task_id)
        bound = None if task is None else self._contents.answers_to(task)
        if task is None or bound is None:
            return content_of(item)
        opened = await self._contents.message(task, item)
        return Content(b"application/jose", recipient_of(bound).seal(opened.message.encode()))
