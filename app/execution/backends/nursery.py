"""The service's side of the guardian: children are started, watched and ended through it (see guardian.py)."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from app.execution.backends.child_user import ChildUser
from app.execution.backends.guardian import PACKET_BYTES

GUARDIAN_PROGRAM = "app.execution.backends.guardian"

logger = logging.getLogger("app.execution")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended, after which neither it nor anything that it started runs any more.

    `returncode` is negative for a signal and None where the guardian cannot tell, and `refused` says why.
    `cpu_s` and `max_rss_mb` are of the child's whole life; `taken_mb` is set where it was killed for its memory.
    """

    returncode: int | None
    refused: str | None = None
    cpu_s: float = 0.0
    max_rss_mb: float = 0.0
    taken_mb: float | None = None


class Process:
    """A child process, as the service can order the guardian about it."""

    def __init__(self, number: int, order: Callable[[dict[str, Any]], None]) -> None:
        self.number = number
        self.pid: int | None = None
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._order = order
        self._peak: asyncio.Future[float] | None = None

    def kill(self) -> None:
        """Ends the child and all that it started; `exited` says when that is done."""
        if not self.exited.done():
            self._order({"kill": self.number})

    def watch(self, limit_mb: int, resting_mb: float) -> None:
        """Has the guardian kill it when it and its descendants hold more than the limit, above what it held at rest."""
        if not self.exited.done():
            self._peak = asyncio.get_running_loop().create_future()
            self._order({"watch": self.number, "limit_mb": limit_mb, "resting_mb": resting_mb})

    async def unwatch(self) -> float:
        """Ends the watch; the largest amount that was seen, in MiB above what it held at rest."""
        if self._peak is None or self.exited.done():
            return 0.0
        self._order({"unwatch": self.number})
        await asyncio.wait((self._peak, self.exited), return_when=asyncio.FIRST_COMPLETED)
        peak = self._peak.result() if self._peak.done() else 0.0
        self._peak = None
        return peak

    def hear(self, message: dict[str, Any]) -> None:
        """Takes what the guardian says about this child."""
        if "pid" in message:
            self.pid = message["pid"]
        elif "peak_mb" in message:
            if self._peak is not None and not self._peak.done():
                self._peak.set_result(message["peak_mb"])
        elif not self.exited.done():
            self.exited.set_result(Exit(**{name: value for name, value in message.items() if name != "exited"}))


class Nursery:
    """One guardian and the children that it has started, as `user` where that is another than the service's own.

    `lost` is true once the guardian is gone; its children then die too, by the kernel's hand, and another Nursery
    has to be made. To be made in the thread of the event loop, which must live as long as the guardian shall.
    Raises OSError where no guardian can be started.
    """

    def __init__(self, environment: Mapping[str, str], user: ChildUser | None = None) -> None:
        self.lost = False
        self._closing = False
        self._children: dict[int, Process] = {}
        self._last_number = 0
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        identity = json.dumps({} if user is None else user.as_popen())
        with theirs, ExitStack() as unless_started:
            unless_started.callback(self._channel.close)
            self._guardian = subprocess.Popen(  # noqa: S603 - the command is our own
                [sys.executable, "-P", "-m", GUARDIAN_PROGRAM, str(theirs.fileno()), str(os.getpid()), identity],
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),), start_new_session=True,
            )  # fmt: skip
            unless_started.pop_all()
        self._loop.add_reader(self._channel.fileno(), self._receive)

    def start(self, channel: int, output: int, environment: Mapping[str, str]) -> Process:
        """Starts a child with these descriptors, which are closed here."""
        self._last_number += 1
        child = Process(self._last_number, self._order)
        self._children[child.number] = child
        if self.lost:
            _close((channel, output))
            self._tell_lost(child)
        else:
            self._order({"start": child.number, "environment": dict(environment)}, (channel, output))
        return child

    async def close(self) -> None:
        """Ends the guardian and with it every child; returns when all of them are gone."""
        self._closing = True
        if not self.lost:
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)
        await self._gone
        await asyncio.to_thread(self._guardian.wait)

    def _order(self, order: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        self._unsent.append((json.dumps(order).encode(), descriptors))
        if len(self._unsent) == 1:
            self._send()

    def _send(self) -> None:
        while self._unsent:
            packet, descriptors = self._unsent[0]
            try:
                if descriptors:
                    socket.send_fds(self._channel, [packet], descriptors)
                else:
                    self._channel.send(packet)
            except BlockingIOError:
                self._loop.add_writer(self._channel.fileno(), self._send)
                return
            except OSError:
                self._lose()
                return
            self._unsent.popleft()
            _close(descriptors)
        self._loop.remove_writer(self._channel.fileno())

    def _receive(self) -> None:
        try:
            while packet := self._channel.recv(PACKET_BYTES):
                message: dict[str, Any] = json.loads(packet)
                number = message.get("started") or message.get("unwatched") or message["exited"]
                if (child := self._children.get(number)) is not None:
                    child.hear(message)
                    if "exited" in message:
                        del self._children[number]
        except BlockingIOError:
            return
        except OSError as error:
            logger.warning("The channel to the guardian broke: %s", error)
        self._lose()

    def _lose(self) -> None:
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._channel.close()
        for _, descriptors in self._unsent:
            _close(descriptors)
        self._unsent.clear()
        for child in list(self._children.values()):
            if child.pid is not None and not self._closing:
                # The kernel sends the same on the guardian's death, but a child may be too young to have asked for it.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
            self._tell_lost(child)
        self._gone.set_result(None)

    def _tell_lost(self, child: Process) -> None:
        del self._children[child.number]
        child.hear({"exited": child.number, "returncode": None, "refused": "the guardian of the children is gone"})


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
