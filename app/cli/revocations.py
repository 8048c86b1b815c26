"""task-executor revocations: what is revoked, and taking it back."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from app.cli.credentials import connect
from app.cli.options import DEFAULT_URL, JsonOption, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.cli.revoke import PATH
from app.cli.tables import cell, out
from app.protocol.roles import Role

revocations = typer.Typer(help="What is revoked, and taking it back (for admins).", no_args_is_help=True)


@revocations.command("list")
def list_revocations(url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False) -> None:
    """List the revocations in force, the newest first. With --json one is one line."""
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    with connect(url, token, Role.ADMIN) as service:
        while cursor is not None:
            page = service.get(PATH, {"limit": 200} | ({"cursor": cursor} if cursor else {})).json()
            items += page["items"]
            cursor = page["next_cursor"]
    if as_json:
        for item in items:
            print_raw(json.dumps(item, ensure_ascii=False))
    else:
        out().print(_table(items))


@revocations.command()
def lift(
    revocation_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it.", metavar="REVOCATION_ID")],
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
) -> None:
    """Take a revocation back: the tokens count again, as long as they are valid."""
    with connect(url, token, Role.ADMIN) as service:
        service.delete(f"{PATH}/{quote(revocation_id, safe='')}")
    say(f"Lifted: {revocation_id}")


def _table(items: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("revocation", "of", "name", "until", "since", "by"):
        table.add_column(heading, overflow="fold")
    for item in items:
        kind = "subject" if "subject" in item else "token_id"
        values = (item["revocation_id"], kind, item[kind], item["until"], item["revoked_at"], item["revoked_by"])
        table.add_row(*(cell(value) for value in values))
    return table
