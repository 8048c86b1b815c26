"""A reader of event streams: by the standard's own rules, with a position to come back from."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]


@dataclass
class Event:
    """One event as a client sees it."""

    id: str = ""
    name: str = "message"
    data: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its data, joined as the standard says."""
        return "\n".join(self.data)

    @property
    def item(self) -> Json:
        """The history item in it."""
        found: Json = json.loads(self.text)
        return found


@dataclass
class Reading:
    """What a stream has sent: its events, its comments, and the time to wait before coming back (milliseconds)."""

    events: list[Event] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    retry_ms: int | None = None
    _event: Event = field(default_factory=Event)

    def line(self, line: str) -> Event | None:
        """Takes one line; answers the event that it completes."""
        if not line:
            event, self._event = self._event, Event()
            if not event.data:
                return None
            self.events.append(event)
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                self.comments.append(value)
            case "id":
                self._event.id = value
            case "event":
                self._event.name = value
            case "data":
                self._event.data.append(value)
            case "retry":
                self.retry_ms = int(value)
            case _:
                raise AssertionError(f"no field of an event: {line!r}")
        return None

    @property
    def sequences(self) -> list[int]:
        """The ids of the events."""
        return [int(event.id) for event in self.events]


def read_all(lines: Iterable[str]) -> Reading:
    """A whole stream."""
    reading = Reading()
    for line in lines:
        reading.line(line)
    return reading


def lines_of(text: str) -> list[str]:
    """The lines of a stream, which end with line feeds only (unlike `splitlines`, which knows many more)."""
    return text.split("\n")


async def events_of(response: httpx.Response, reading: Reading) -> AsyncIterator[Event]:
    """The events of an open stream as they come; what breaks off in the middle of one is not counted."""
    rest = ""
    with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
        async for part in response.aiter_text():
            *whole, rest = (rest + part).split("\n")
            for line in whole:
                event = reading.line(line)
                if event is not None:
                    yield event
