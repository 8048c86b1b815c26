"""task-executor quota: what you may have and use; for admins, what is set for others."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table
from rich.text import Text

from app.cli.credentials import connect
from app.cli.failures import Usage
from app.cli.options import DEFAULT_URL, JsonOption, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.cli.tables import cell, grid, out
from app.protocol.roles import Role

PATH = "/v1/admin/quotas"
LIMITS = ("queued", "running", "held", "stored_bytes", "rate", "weight")

quota = typer.Typer(help="Your quota; for admins, the quotas of others.")

SubmitterArgument = Annotated[str, typer.Argument(help="The subject of its tokens.", metavar="SUBMITTER")]


@quota.callback(invoke_without_command=True)
def own(
    context: typer.Context, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """Show what you may have, what you use, and what your tasks have taken."""
    if context.invoked_subcommand is not None:
        return
    with connect(url, token) as service:
        answer = service.get("/v1/quota")
    if as_json:
        print_raw(answer.text)
        return
    found = answer.json()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "used", "limit"):
        table.add_column(heading, overflow="fold")
    for name in LIMITS[:4]:
        table.add_row(name, cell(_shown(found["used"][name])), cell(_shown(found["limits"][name], "unlimited")))
    rate = found["rate"]
    left = "" if rate is None else f"{rate['remaining']} left"
    table.add_row("rate", cell(left), cell(_shown(found["limits"]["rate"], "unlimited")))
    out().print(table)
    taken = found["consumed"]
    say(f"Your tasks have taken {taken['cpu_s']:g} s of CPU, at most {taken['peak_memory_mb']:g} MiB at a time.")


@quota.command("list")
def list_quotas(url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False) -> None:
    """List the submitters for whom something is set, and what (for admins)."""
    with connect(url, token, Role.ADMIN) as service:
        answer = service.get(PATH)
    if as_json:
        print_raw(answer.text)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("submitter", *LIMITS, "set by"):
        table.add_column(heading, overflow="fold")
    for each in answer.json()["items"]:
        limits = (cell(_shown(each["quota"][name])) for name in LIMITS)
        table.add_row(cell(each["submitter"]), *limits, cell(each["set_by"]))
    out().print(table)


@quota.command()
def show(
    submitter: SubmitterArgument,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what is set for a submitter, what is in force, and what it uses (for admins)."""
    with connect(url, token, Role.ADMIN) as service:
        _print(service.get(_path(submitter)).text, as_json=as_json)


@quota.command("set")
def set_quota(
    submitter: SubmitterArgument,
    limits: Annotated[str, typer.Argument(help='As JSON: {"running": 4, "held": {"cpu": 2}}.', metavar="QUOTA")],
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Set all of a submitter's quota (for admins): queued, running, held, stored_bytes, rate, weight.

    What is left out is then as for everybody; "unlimited" lifts a limit that everybody has.
    """
    try:
        json.loads(limits)
    except ValueError:
        raise Usage('The quota must be JSON, such as {"running": 4}') from None
    with connect(url, token, Role.ADMIN) as service:
        _print(service.put(_path(submitter), limits.encode()).text, as_json=as_json)


@quota.command()
def remove(
    submitter: SubmitterArgument,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Let a submitter have the quota of everybody again (for admins)."""
    with connect(url, token, Role.ADMIN) as service:
        _print(service.delete(_path(submitter)).text, as_json=as_json)


def _path(submitter: str) -> str:
    return f"{PATH}/{quote(submitter, safe='')}"


def _print(answer: str, *, as_json: bool) -> None:
    if as_json:
        print_raw(answer)
        return
    found = json.loads(answer)
    rows: list[tuple[str, Text]] = [("submitter", cell(found["submitter"]))]
    for name in LIMITS:
        used = found["used"].get(name)
        text = _shown(found["in_force"][name], "unlimited" if name != "weight" else "1")
        rows.append((name, cell(text if used is None else f"{_shown(used)} of {text}")))
    out().print(grid(rows))


def _shown(value: Any, absent: str = "") -> str:
    if value is None:
        return absent
    if isinstance(value, dict):
        return ", ".join(f"{name}={_shown(amount)}" for name, amount in value.items()) or "nothing"
    return str(value)
