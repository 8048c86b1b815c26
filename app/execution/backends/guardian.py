"""The guardian: a small process between the service and the children in which handlers run.

Run as `python -m app.execution.backends.guardian CHANNEL_FD SERVICE_PID USER`, where USER is JSON: what tells Popen
as whom to start children (child_user.py), or nothing. It starts the children, watches
their memory, ends them, and tells the service how each one ended. It is there because:

- it adopts orphans (PR_SET_CHILD_SUBREAPER), so that whatever a handler leaves behind, even in a session of its
  own, becomes the guardian's child once the handler's process is dead, and is killed before that death is reported;
- it outlives the service by a moment: when the service goes, killed or not, it ends every descendant, then itself;
- it watches memory and reaps while the service's event loop is busy with better things.

One thread, the standard library only. The channel is a sequenced-packet socket, one JSON object a packet:

    service to guardian   {"start": N, "environment": {…}} with two descriptors (channel, output)
                          {"kill": N}   {"watch": N, "limit_mb": M, "resting_mb": R}   {"unwatch": N}
    guardian to service   {"started": N, "pid": P}   {"unwatched": N, "peak_mb": M}
                          {"exited": N, "returncode": C, "cpu_s": S, "max_rss_mb": M, "taken_mb": T or null}
"""

import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from app.execution.backends import kernel

PACKET_BYTES = 131_072
WATCH_INTERVAL_S = 0.05
CHILD_PROGRAM = "app.execution.backends.child"


@dataclass(slots=True, eq=False)
class Worker:
    """A child process. Amounts in KiB; `taken` is set when it was killed for taking more than `limit`."""

    number: int
    process: subprocess.Popen[bytes]
    limit: int | None = None
    resting: int = 0
    peak: int = 0
    taken: int | None = None
    cpu_s: float = 0.0
    max_rss: int = 0

    def kill(self) -> None:
        """Ends its process group. Its process id is its own until it is reaped, which only the guardian does."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def exceeds(self) -> bool:
        """Takes a sample. It and its descendants hold more than the limit, above what it held at rest."""
        assert self.limit is not None
        family = kernel.family_of(self.process.pid)
        taken = sum(map(kernel.private_kb, family)) - self.resting
        if taken > self.limit and len(family) > 1:
            # Forked processes share pages with the worker, and the cheap sum counts those once for each.
            taken = sum(map(kernel.proportional_kb, family)) - self.resting
        self.peak = max(self.peak, taken)
        return taken > self.limit


class Guardian:
    """The guardian's loop over its channel, the ends of its children, and the watch."""

    def __init__(self, channel: socket.socket, service: int, user: dict[str, Any]) -> None:
        self._channel = channel
        self._service = service
        self._user = user
        self._workers: dict[int, Worker] = {}
        self._ended: list[Worker] = []
        self._terminated = False
        self._wakeup, wakeup_writer = socket.socketpair()
        self._wakeup_writer = wakeup_writer
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Until the service closes the channel or is gone; then ends everything."""
        self._wakeup.setblocking(False)
        self._wakeup_writer.setblocking(False)
        signal.set_wakeup_fd(self._wakeup_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._terminate)
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        try:
            while not self._terminated:
                self._turn()
        finally:
            self._end_everything()

    def _terminate(self, *_: object) -> None:
        # The kernel's word that the service is dead. While it lives, as when a whole control group is told to stop,
        # the service drains, and closes the channel when it no longer needs its children.
        self._terminated = os.getppid() != self._service

    def _turn(self) -> None:
        watched = [worker for worker in self._workers.values() if worker.limit is not None]
        for key, _ in self._selector.select(WATCH_INTERVAL_S if watched else None):
            if key.fileobj is self._channel:
                self._receive()
            else:
                self._wakeup.recv(4096)
        for worker in watched:
            if worker.limit is not None and worker.exceeds():
                worker.taken = worker.peak
                worker.kill()
        self._reap()

    def _receive(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._channel, PACKET_BYTES, 2, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            # The service was killed before it had read what it was told.
            packet = b""
        if not packet:
            self._terminated = True
            return
        order: dict[str, Any] = json.loads(packet)
        if "start" in order:
            self._start(order["start"], order["environment"], *descriptors)
        elif (number := order.get("kill")) in self._workers:
            self._workers[number].kill()
        elif (number := order.get("watch")) in self._workers:
            worker = self._workers[number]
            worker.limit, worker.resting = int(order["limit_mb"] * 1024), int(order["resting_mb"] * 1024)
            worker.peak = 0
        elif (number := order.get("unwatch")) in self._workers:
            self._workers[number].limit = None
            self._tell({"unwatched": number, "peak_mb": self._workers[number].peak / 1024})

    def _start(self, number: int, environment: dict[str, str], channel: int, output: int) -> None:
        command = [sys.executable, "-P", "-m", CHILD_PROGRAM, str(channel), str(os.getpid())]
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is our own
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                pass_fds=(channel,), start_new_session=True, **self._user,
            )  # fmt: skip
        except OSError as error:
            self._tell({"exited": number, "returncode": None, "refused": str(error)})
        else:
            self._workers[number] = Worker(number, process)
            self._tell({"started": number, "pid": process.pid})
        finally:
            os.close(channel)
            os.close(output)

    def _reap(self) -> None:
        workers = {worker.process.pid: worker for worker in self._workers.values()}
        for pid, status, usage in _ended_children():
            if (worker := workers.get(pid)) is not None:
                worker.process.returncode = os.waitstatus_to_exitcode(status)
                worker.cpu_s = usage.ru_utime + usage.ru_stime
                worker.max_rss = usage.ru_maxrss
                del self._workers[worker.number]
                self._ended.append(worker)
        if self._ended and not self._kill_strays():
            for worker in self._ended:
                self._report(worker)
            self._ended.clear()

    def _kill_strays(self) -> bool:
        """Kills what dead workers left behind, which is every child that is no worker. There was something."""
        known = {worker.process.pid for worker in self._workers.values()}
        return bool([pid for pid in kernel.children_of(os.getpid()) if pid not in known and _killed(pid)])

    def _report(self, worker: Worker) -> None:
        self._tell(
            {
                "exited": worker.number,
                "returncode": worker.process.returncode,
                "cpu_s": worker.cpu_s,
                "max_rss_mb": worker.max_rss / 1024,
                "taken_mb": None if worker.taken is None else worker.taken / 1024,
            }
        )

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(message).encode())
        except OSError:  # the service is gone
            self._terminated = True

    def _end_everything(self) -> None:
        for worker in self._workers.values():
            worker.kill()
        # The orphans of the dead arrive here one generation after another, until nobody is left.
        while [pid for pid in kernel.children_of(os.getpid()) if _killed(pid)]:
            os.waitpid(-1, 0)


def _killed(pid: int) -> bool:
    """Kills a child of this process; False where it changed its user and cannot be killed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        return False
    return True


def _ended_children() -> Iterator[tuple[int, int, resource.struct_rusage]]:
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status, usage


def main() -> None:
    """The program: CHANNEL_FD SERVICE_PID USER."""
    # Whoever could read it could take its channel, and speak to the service in its name.
    kernel.close_memory()
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    service = int(sys.argv[2])
    kernel.signalled_when_parent_dies(signal.SIGTERM, service)
    kernel.adopt_orphans()
    guardian = Guardian(channel, service, json.loads(sys.argv[3]))
    guardian.serve()
    # Nothing is left to tidy, and the service waits for this process: the interpreter's own end is skipped.
    os._exit(0)


if __name__ == "__main__":
    main()
