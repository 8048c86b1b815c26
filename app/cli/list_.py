"""task-executor list: one's own tasks, the newest first."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

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
WHY = "why it waits"
WANTED = ("task", "status", "type", WHY, "submitted", "message_id", "priority", "attempt", "submitter")
"""The columns, those first that matter most; the first two are always shown."""
GAP, FOLDED_WHY = 2, 30
"""Characters between two columns, and those of a line in which a reason can still be read."""

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
    elif items:
        console = out()
        console.print(_table(items, console.width))
    else:
        tell("There are no such tasks." if any(filters.values()) else "You have no tasks.")
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


def _table(items: list[dict[str, Any]], width: int) -> Table:
    columns = _that_fit(_columns([_task(item) for item in items]), width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns:
        table.add_column(heading, no_wrap=heading == "task", overflow="fold")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _columns(tasks: list[TaskView]) -> dict[str, list[Text]]:
    now = datetime.now(UTC)
    columns = {"task": [cell(task.task_id) for task in tasks]}
    columns["type"] = [cell(task.details.get("type")) for task in tasks]
    columns["status"] = [headline(task) for task in tasks]
    for name in ("priority", "attempt"):
        columns[name] = [cell(task.details.get(name)) for task in tasks]
    columns["submitted"] = [cell(str(task.details.get("submitted_at"))[:19].replace("T", " ")) for task in tasks]
    for name in ("message_id", "submitter"):
        columns[name] = [cell(task.details.get(name)) for task in tasks]
    if any(reasons := [waiting(task, now) for task in tasks]):
        columns[WHY] = [cell(why) for why in reasons]
    return columns


def _that_fit(columns: dict[str, list[Text]], width: int) -> dict[str, list[Text]]:
    """As many columns as have room: on a narrow terminal a few that can be read, rather than all of them in ribbons."""
    room, fitting = width + GAP, set(WANTED[:2])
    for heading in WANTED:
        needed = _width(heading, columns.get(heading, [])) + GAP
        if needed <= room or heading in fitting:
            fitting.add(heading)
            room -= needed
    return {heading: cells for heading, cells in columns.items() if heading in fitting}


def _width(heading: str, cells: list[Text]) -> int:
    longest = max((cell.cell_len for cell in cells), default=0)
    return max(len(heading), min(longest, FOLDED_WHY) if heading == WHY else longest)


def _task(item: dict[str, Any]) -> TaskView:
    try:
        return view_of(item)
    except (KeyError, TypeError, ValueError):
        raise _no_list() from None
