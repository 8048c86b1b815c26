"""task-executor nodes: which nodes serve, and pausing, draining and resuming them (for admins)."""

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from app.cli.credentials import connect
from app.cli.options import DEFAULT_URL, JsonOption, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.cli.tables import cell, out
from app.protocol.roles import Role

nodes = typer.Typer(help="Nodes: who serves, and who shall take no more tasks. For admins.", no_args_is_help=True)

NodeArgument = Annotated[str, typer.Argument(help="The node's name, as `nodes list` shows it.", metavar="NODE")]


@nodes.command("list")
def list_nodes(url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False) -> None:
    """Every node that lives: what it has, what runs there, and what is wanted of it."""
    with connect(url, token, Role.ADMIN) as service:
        response = service.get("/v1/admin/nodes")
    if as_json:
        print_raw(response.text)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("node", "mode", "running", "waiting", "capacity", "allocated"):
        table.add_column(heading, overflow="fold")
    for node in response.json()["items"]:
        table.add_row(*(cell(_shown(node.get(name))) for name in _MEMBERS))
    out().print(table)


@nodes.command()
def pause(
    node: NodeArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """Let a node take no more tasks; those that run there go on."""
    _want(node, "pause", url, token, as_json=as_json)


@nodes.command()
def drain(
    node: NodeArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """As pause, and what does not finish within the grace time is handed back to other nodes."""
    _want(node, "drain", url, token, as_json=as_json)


@nodes.command()
def resume(
    node: NodeArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """Let a node take tasks again."""
    _want(node, "resume", url, token, as_json=as_json)


_MEMBERS = ("node", "mode", "running", "waiting", "capacity", "allocated")


def _want(node: str, wish: str, url: str, token: str | None, *, as_json: bool) -> None:
    with connect(url, token, Role.ADMIN) as service:
        response = service.post(f"/v1/admin/nodes/{quote(node, safe='')}/{wish}")
    if as_json:
        print_raw(response.text)
    else:
        found = response.json()
        say(f"Node {found['node']} is {found['mode']}; {found['running']} tasks run there.")


def _shown(value: Any) -> str:
    return ", ".join(f"{name}={amount}" for name, amount in value.items()) if isinstance(value, dict) else str(value)
