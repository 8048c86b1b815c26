"""Following a task to its end by long polls (`Prefer: wait`, RFC 7240), through restarts of the service."""

import time
from collections.abc import Callable, Iterator
from http import HTTPStatus

import httpx

from app.cli.explained import explained
from app.cli.failures import CommandFailed, Refused, Unreachable
from app.cli.service import Service, task_path
from app.cli.task_view import TaskView, view
from app.protocol.states import QUEUED

WAIT_S = 30
"""Seconds that the service is asked to hold an answer back until there is something new (it allows 60)."""
PAUSE_S = 1.0
PATIENCE_S = 120.0
"""How long a service may be away before following it is given up: longer than a restart with its drain."""


def follow(
    service: Service,
    task_id: str,
    away: Callable[[CommandFailed], None],
    *,
    in_words: bool = False,
    answered: bool = False,
) -> Iterator[TaskView]:
    """The task each time that it has changed, at once and until its terminal state.

    With `in_words` the service explains why the task waits, and does so anew now and then while nothing else changes.

    `away` is told each time that the service does not answer and will be asked again. Raises Refused, Unreachable
    (after PATIENCE_S seconds without an answer; at once where there was none yet and none has been `answered` before:
    a mistyped address is not waited for).
    """
    etag: str | None = None
    task: TaskView | None = None
    while True:
        asked_at = time.monotonic()
        response = _ask_patiently(service, task_id, etag, away, answered=answered or task is not None)
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            # A service (or a proxy) that does not hold the answer back must not be asked in a tight loop.
            time.sleep(max(0.0, PAUSE_S - (time.monotonic() - asked_at)))
            if task is not None and in_words and task.state in QUEUED:
                yield explained(service, task)
            continue
        task = view(response.text)
        yield explained(service, task) if in_words else task
        if task.state.terminal:
            return
        etag = response.headers.get("ETag")


def _ask_patiently(
    service: Service, task_id: str, etag: str | None, away: Callable[[CommandFailed], None], *, answered: bool
) -> httpx.Response:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _ask(service, task_id, etag)
        except (Refused, Unreachable) as failure:
            if not _passes(failure, answered=answered) or time.monotonic() > give_up_at:
                raise
            away(failure)
            time.sleep(PAUSE_S)


def _ask(service: Service, task_id: str, etag: str | None) -> httpx.Response:
    # Without an ETag the answer is wanted at once, with one only when something is new.
    headers = {} if etag is None else {"If-None-Match": etag, "Prefer": f"wait={WAIT_S}"}
    return service.get(task_path(task_id), headers=headers, timeout_s=WAIT_S + 10)


def _passes(failure: Refused | Unreachable, *, answered: bool) -> bool:
    """Asking again may help: who has answered before does not, or the service says that it is away or busy."""
    return answered if isinstance(failure, Unreachable) else failure.status in (429, 502, 503, 504)
