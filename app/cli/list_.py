"""task-executor list: one's own tasks, the newest first."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from app.cli.credentials import connect
from app.cli.failures import Refused, Usage
from app.cli.options import DEFAULT_URL, JsonOption, PrivateKeyOption, TokenOption, UrlOption
from app.cli.output import print_raw, tell
from app.cli.service import Service
from app.cli.tables import cell, out
from app.cli.task_view import TaskView, headline, view_of, waiting
from app.protocol.states import State

PAGE = 200
"""The longest page that the service gives."""

Filter = dict[str, str | int | list[str]]


def list_tasks(  # noqa: PLR0913 - each is an option of the command
    *,
    states: Annotated[list[str] | None, typer.Option("--status", help="Only in this state; repeatable.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only of this kind.")] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", help="Only with this label, NAME=VALUE.")] = None,
    message_id: Annotated[str | None, typer.Option(help="Only the one submitted under this message_id.")] = None,
    submitter: Annotated[str | None, typer.Option(help="Only of this submitter (for admins).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    private_key: PrivateKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your tasks, the newest first. With --json one task is one line."""
    filters: Filter = {"status": [_state(name) for name in states or []], "label": labels or []}
    filters |= {"type": kind or [], "message_id": message_id or [], "submitter": submitter or []}
    with connect(url, token, private_key=private_key) as service:
        items, more = _collect(service, filters, limit)
    if as_json:
        for item in items:
            print_raw(json.dumps(item, ensure_ascii=False))
    else:
        out().print(_table(items))
    if more:
        tell(f"There are more: --limit {limit * 2} shows them.")


def _state(name: str) -> str:
    """The protocol's spelling of a state, whatever its case. Raises Usage."""
    for state in State:
        if state.value.lower() == name.lower():
            return state.value
    raise Usage(f"{name!r} is no state: one of {', '.join(State)}")


def _collect(service: Service, filters: Filter, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """At most `limit` tasks over as many pages as it takes, and whether there are more."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(items) < limit:
        page = filters | {"limit": min(PAGE, limit - len(items))} | ({"cursor": cursor} if cursor else {})
        found, cursor = _page(service, page)
        items += found
        if cursor is None:
            break
    return items, cursor is not None


def _page(service: Service, page: Filter) -> tuple[list[dict[str, Any]], str | None]:
    try:
        answer = service.get("/v1/tasks", page).json()
        return answer["items"], answer["next_cursor"]
    except (ValueError, KeyError, TypeError):
        raise _no_list() from None


def _no_list() -> Refused:
    problem = {"title": "this is no list of tasks", "detail": "is a Task Executor at this address?"}
    return Refused(200, problem, None)


def _table(items: list[dict[str, Any]]) -> Table:
    now, tasks = datetime.now(UTC), [_task(item) for item in items]
    reasons = [waiting(task, now) for task in tasks]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task", no_wrap=True)
    for heading in ("type", "status", "priority", "attempt", "submitted", "message_id", "submitter"):
        table.add_column(heading, overflow="fold")
    if any(reasons):
        table.add_column("why it waits", overflow="fold")
    for task, why in zip(tasks, reasons, strict=True):
        shown = task.details
        table.add_row(
            cell(task.task_id),
            cell(shown.get("type")),
            headline(task),
            cell(shown.get("priority")),
            cell(shown.get("attempt")),
            cell(str(shown.get("submitted_at"))[:19].replace("T", " ")),
            cell(shown.get("message_id")),
            cell(shown.get("submitter")),
            *([cell(why)] if any(reasons) else []),
        )
    return table


def _task(item: dict[str, Any]) -> TaskView:
    try:
        return view_of(item)
    except (KeyError, TypeError, ValueError):
        raise _no_list() from None
