"""How a task stands, in words: above all why it waits.

    waits for 1 cpu; 3 tasks are ahead; expected in about 40 s

Pure: a task_status message and the moment come in, a sentence goes out. What is not known is left out, never guessed.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.protocol.states import QUEUED, State
from app.protocol.times import parse_time

Json = Mapping[str, Any]

_CAUSES = {
    "insufficient": "waits for {missing}",
    "queued": "waits for its turn",
    "capacity": "waits for a node that is large enough: {missing} more than any has",
    "retry": "waits for its next attempt, after {attempts}",
    "handed_back": "was handed back by a node that is shutting down, and starts at another",
    "paused": "waits because an operator has paused its kind of task, or every node that is large enough",
    "quota": "waits because its submitter {quota}",
}
_UNITS = (("s", 1, 100), ("min", 60, 100 * 60), ("h", 3600, 48 * 3600))
"""Name, length and longest use, in seconds."""


def in_words(status: Json, now: datetime) -> str:
    """What a task_status message says of how the task stands, without the subject; `now` is in UTC."""
    body = status["body"]
    state, details = State(body["status"]), body["details"]
    if state in QUEUED:
        return _waiting(details.get("waiting") or {}, details, now) + _warning(details)
    if state is State.EXECUTING:
        return _executing(body, details, now) + _warning(details)
    if state is State.COMPLETED:
        return f"is done, after {_attempts(details)}"
    if not state.terminal:
        return f"is {state}"
    message = (details.get("error") or {}).get("message")
    return f"has ended as {state} ({details.get('reason')})" + (f": {message}" if message else "")


def amounts(vector: Json) -> str:
    """A vector of the wire in words: "1 cpu, 512 MiB of memory and 1 licence"."""
    units = {**vector, **vector.get("custom", {})}
    named = [f"{amount:g} {_NAMES.get(unit, unit)}" for unit, amount in units.items() if unit != "custom"]
    return " and ".join(part for part in (", ".join(named[:-1]), *named[-1:]) if part)


def span(seconds: float) -> str:
    """A span as a person says it: "less than a second", "40 s", "3 min", "2 h", "4 days"."""
    if seconds < 1:
        return "less than a second"
    for unit, length, longest in _UNITS:
        if seconds < longest:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


_NAMES = {"memory_mb": "MiB of memory"}


def _waiting(waiting: Json, details: Json, now: datetime) -> str:
    reason = str(waiting.get("reason"))
    missing = amounts(waiting.get("missing") or {}) or "what it asks for"
    told = {"missing": missing, "attempts": _attempts(details), "quota": _quota(waiting, missing)}
    cause = _CAUSES.get(reason, f"waits ({reason})").format(**told)
    in_queue = reason in ("insufficient", "queued")
    parts = [cause, *(_ahead(waiting) if in_queue else ()), *_expected(waiting, now)]
    return "; ".join(parts)


def _quota(waiting: Json, missing: str) -> str:
    if waiting.get("policy") == "held":
        return f"may hold no more at a time: {missing} too little"
    limit, used = waiting.get("limit"), waiting.get("used")
    if limit is None or used is None:
        return "has reached a quota"
    return f"may run {_counted(limit, 'task')} at a time, and runs {used:,}"


def _ahead(waiting: Json) -> list[str]:
    own, others = len(waiting.get("held_by") or ()), int(waiting.get("held_by_others") or 0)
    parts = []
    if own + others:
        parts.append(f"held by {_counted(own + others, 'task')}" + (f", {own} of them yours" if own and others else ""))
    if at_least := waiting.get("position_at_least"):
        parts.append(f"at least {_counted(at_least - 1, 'task', ' is', ' are')} ahead")
    if position := waiting.get("position"):
        parts.append("it is next" if position == 1 else f"{_counted(position - 1, 'task', ' is', ' are')} ahead")
    return parts


def _expected(waiting: Json, now: datetime) -> list[str]:
    """When it should start, as far as that is known."""

    def until(moment: str) -> str:
        return span((parse_time(moment) - now).total_seconds())

    if due := waiting.get("next_attempt_at"):
        return [f"due in {until(due)}"]
    start = waiting.get("expected_start")
    if not start:
        return []
    earliest, latest = map(until, waiting.get("expected_start_range") or (start, start))
    between = "" if earliest == latest else f" (between {earliest} and {latest})"
    soon = (parse_time(start) - now).total_seconds() < 1
    return [f"expected in {'' if soon else 'about '}{until(start)}{between}"]


def _executing(body: Json, details: Json, now: datetime) -> str:
    parts = [f"is being executed, attempt {details.get('attempt')} of {details.get('max_attempts')}"]
    if details.get("started_at"):
        parts.append(f"first started {span((now - parse_time(details['started_at'])).total_seconds())} ago")
    if body.get("progress"):
        parts.append(f"{body['progress']:.0%} done")
    return "; ".join(parts)


def _warning(details: Json) -> str:
    message = (details.get("warning") or {}).get("message")
    return f"; {message}" if message else ""


def _attempts(details: Json) -> str:
    return _counted(int(details.get("attempt") or 0), "attempt")


def _counted(number: int, noun: str, one: str = "", many: str = "") -> str:
    return f"{number:,} {noun}{one}" if number == 1 else f"{number:,} {noun}s{many}"
