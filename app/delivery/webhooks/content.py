"""What is sent: the one place where a message to the submitter becomes the body of a webhook."""

from typing import NamedTuple

from app.protocol.history import Item


class Content(NamedTuple):
    """A body and its media type."""

    media_type: bytes
    body: bytes


def content_of(item: Item) -> Content:
    """The task_status message, exactly as it stands in the history."""
    return Content(b"application/json", item.message.encode())
