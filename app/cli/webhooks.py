"""task-executor webhooks: what arrived at a callback, sending it again, the secret that signs; and what fails."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from app.cli.credentials import connect
from app.cli.options import DEFAULT_URL, JsonOption, TaskIdArgument, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.cli.service import task_path
from app.cli.tables import cell, out
from app.protocol.roles import Role

webhooks = typer.Typer(help="Webhooks: what arrived, sending it again, the secret that signs.", no_args_is_help=True)

_ATTEMPT = ("attempt", "sequence", "attempted_at", "outcome", "duration_ms", "next_attempt_at")
_DELIVERY = ("task_id", "submitter", "state", "failures", "last_outcome", "waiting_since", "next_attempt_at", "url")


@webhooks.command()
def log(
    task_id: TaskIdArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """How the webhooks of a task stand, and the last attempts."""
    with connect(url, token) as service:
        response = service.get(task_path(task_id, "deliveries"))
    if as_json:
        print_raw(response.text)
        return
    found = response.json()
    if found["state"] is None:
        say("The task has no callback.")
        return
    arrived, last = found["delivered_sequence"], found["last_sequence"]
    say(f"{found['state']}: {arrived} of {last} has arrived at {found['url']}")
    out().print(_table(_ATTEMPT, found["items"]))


@webhooks.command()
def redeliver(
    task_id: TaskIdArgument,
    sequence: Annotated[int, typer.Option("--from", min=1, help="The first message to send again.")] = 1,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Send the messages of a task once more, and begin anew what was ended."""
    with connect(url, token) as service:
        response = service.post(task_path(task_id, "deliveries", "redeliver"), _body(sequence=sequence))
    if as_json:
        print_raw(response.text)
    else:
        say(f"They are sent again. See: task-executor webhooks log {task_id}")


@webhooks.command()
def secret(
    overlap_s: Annotated[
        float, typer.Option("--overlap", min=0, help="Seconds that the secret before goes on signing beside it.")
    ] = 86_400,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make the secret that signs your webhooks from now on, and show it this once."""
    with connect(url, token) as service:
        response = service.post("/v1/webhook-secrets", _body(overlap_s=overlap_s))
    print_raw(response.text if as_json else response.json()["secret"])


@webhooks.command()
def failing(
    state: Annotated[str | None, typer.Option(help="Only those: active, gone or dead.")] = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Webhooks that fail or have been ended, of all submitters (for admins)."""
    params: dict[str, str | int | list[str]] = {"limit": 200}
    if state is not None:
        params["state"] = state
    with connect(url, token, Role.ADMIN) as service:
        response = service.get("/v1/admin/webhooks", params)
    if as_json:
        print_raw(response.text)
        return
    out().print(_table(_DELIVERY, response.json()["items"]))


@webhooks.command()
def revive(
    task_ids: Annotated[list[str] | None, typer.Argument(help="Tasks whose webhooks go on.", metavar="TASK_ID")] = None,
    state: Annotated[str | None, typer.Option(help="In place of tasks, all that are: active, gone or dead.")] = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Take failing webhooks up again where they stand (for admins)."""
    wanted = _body(**({"task_ids": task_ids} if task_ids else {}), **({} if state is None else {"state": state}))
    with connect(url, token, Role.ADMIN) as service:
        response = service.post("/v1/admin/webhooks/redeliver", wanted)
    if as_json:
        print_raw(response.text)
    else:
        say(f"{response.json()['redelivered']} go on.")


def _body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def _table(names: tuple[str, ...], items: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name.removesuffix("_id").replace("_", " "), overflow="fold")
    for item in items:
        table.add_row(*(cell("" if item.get(name) is None else item[name]) for name in names))
    return table
