"""Fault points: named places in the service at which a test lets it fail (docs/reliability.md).

Off unless they are asked for at the start; an await of `reached` then costs 80 nanoseconds. They are asked for by a
list of POINT:PROBABILITY:KIND, and `*` stands for every point. The kinds:

    kill         the process ends as by SIGKILL
    kill=0.002   the same so many seconds later, in the middle of whatever comes next
    lose         the connection is lost: ConnectionResetError, as a socket would raise it; only where one is in use
    delay=0.5    nothing happens for so many seconds
"""

import asyncio
import os
import random
import re
import signal
import sys
from dataclasses import dataclass
from typing import Final, Literal

POINTS: Final = {
    "connection.before_open": "a connection to the database is about to be opened",
    "journal.before_send": "a batch of changes is about to be sent, which commits it",
    "journal.after_reply": "a batch is committed, and nobody has been told",
    "reader.before_send": "a batch of reads of single tasks is about to be sent",
    "reader.after_reply": "a batch of tasks has been read",
    "claims.before_send": "a claim is about to be sent",
    "claims.after_reply": "tasks are leased to this node, and it does not know of them yet",
    "upkeep.before_send": "a heartbeat or word for another node is about to be sent",
    "upkeep.after_reply": "the same has been carried out",
    "sweeps.before_send": "a rescue, or a look for what waits before the marks of the lines, is about to be sent",
    "sweeps.after_reply": "the same has been carried out",
    "rates.before_send": "a draw on what subjects may call is about to be sent",
    "rates.after_reply": "calls have been drawn, and nobody has been let through",
    "outside.before_send": "a claim, heartbeat or end by an executor outside is about to be sent",
    "outside.after_reply": "the same has been carried out",
    "ahead.before_send": "what is ahead of a task is about to be counted",
    "ahead.after_reply": "what is ahead of a task has been counted",
    "webhooks.before_send": "a claim of deliveries or their outcomes are about to be sent",
    "webhooks.after_reply": "the same has been carried out",
    "pool.before_send": "a transaction on a connection of the pool begins",
    "pool.after_reply": "a transaction on a connection of the pool is committed",
    "news.before_send": "the other nodes are about to be told of a commit",
    "submission.before_commit": "a message has been checked, and is about to be stored",
    "submission.after_commit": "a task is durable, and neither handed over nor answered",
    "runner.after_grant": "an attempt has its resources, and has not started",
    "runner.after_start": "the start of an attempt is durable, and its handler has not run",
    "runner.after_run": "an attempt has its outcome, and still holds its resources",
    "runner.before_record": "an attempt has released its resources, and its outcome is not recorded",
    "runner.after_record": "the end of an attempt is durable",
    "progress.before_record": "an update of progress is about to be recorded",
    "heartbeat.after_extend": "leases are extended, and the word that was left for this node has not been heard",
    "rescue.after_take": "tasks of a lost node are leased to this one, and not settled",
    "rescue.after_settle": "the loss of their attempts is recorded, and they are not queued again",
    "timeouts.before_record": "a request for resources is given up, and that is not recorded",
    "cancel.before_record": "a task to be cancelled has been looked at",
    "acknowledgement.before_record": "a task of which messages are acknowledged has been looked at",
    "courier.before_call": "a delivery is claimed, and its receiver has not been called",
    "courier.after_answer": "a receiver has answered, and that is not recorded",
    "drain.before_stop": "the grace time of a drain is over",
}
"""Every point, and what is true there. A connection is in use where the name ends in send, reply or open."""

_IN_USE = ("send", "reply", "open")
_FAULT = re.compile(
    r"(?P<point>[\w.*]+):(?P<probability>\d*\.?\d+):(?P<kind>kill|lose|delay)(=(?P<seconds>\d*\.?\d+))?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a point with this probability, after so many seconds."""

    probability: float
    kind: Literal["kill", "lose", "delay"]
    seconds: float


_armed: dict[str, list[Fault]] = {}
_draw = random.Random()  # noqa: S311 - faults are to be repeated, not to be unguessable


async def reached(point: str) -> None:
    """This point has been reached. Raises ConnectionResetError where a connection is to be lost here."""
    if _armed:
        await _fail(point)


def arm(faults: str, seed: int) -> None:
    """Lets these points fail from now on; an empty list turns all off. Raises ValueError as `parse` does."""
    wanted = parse(faults)
    _armed.clear()
    _armed.update(wanted)
    _draw.seed(seed)


def parse(faults: str) -> dict[str, list[Fault]]:
    """The faults of each point that has any. Raises ValueError, whose message says what is expected."""
    wanted: dict[str, list[Fault]] = {}
    for text in filter(None, (part.strip() for part in faults.split(","))):
        points, fault = _parse(text)
        for point in points:
            wanted.setdefault(point, []).append(fault)
    return wanted


def _parse(text: str) -> tuple[list[str], Fault]:
    found = _FAULT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no POINT:PROBABILITY:KIND, as in journal.before_send:0.05:kill")
    point, kind = found["point"], found["kind"]
    if point != "*" and point not in POINTS:
        raise ValueError(f"{point!r} is no fault point: docs/reliability.md lists them")
    if kind == "delay" and found["seconds"] is None:
        raise ValueError(f"{text!r} needs seconds, as in delay=0.5")
    fault = Fault(float(found["probability"]), kind, float(found["seconds"] or 0))  # type: ignore[arg-type]  # by the pattern
    points = [name for name in POINTS if point in ("*", name) and (kind != "lose" or name.endswith(_IN_USE))]
    if not points:
        raise ValueError(f"no connection is in use at {point!r} that could be lost")
    return points, fault


async def _fail(point: str) -> None:
    for fault in _armed.get(point, ()):
        if _draw.random() < fault.probability:
            await _carry_out(fault, point)


async def _carry_out(fault: Fault, point: str) -> None:
    # Past the log, which a killed process may not have written yet.
    os.write(sys.stderr.fileno(), f"fault point {point}: {fault.kind}\n".encode())
    match fault.kind:
        case "kill" if fault.seconds:
            asyncio.get_running_loop().call_later(fault.seconds, _kill)
        case "kill":
            _kill()
        case "lose":
            raise ConnectionResetError(f"a connection is lost on purpose at {point}")
        case "delay":
            await asyncio.sleep(fault.seconds)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
