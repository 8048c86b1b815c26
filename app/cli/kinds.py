"""task-executor kinds: which kinds of task are paused, pausing and resuming them (for admins)."""

from typing import Annotated
from urllib.parse import quote

import typer

from app.cli.credentials import connect
from app.cli.options import DEFAULT_URL, JsonOption, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.protocol.roles import Role

kinds = typer.Typer(help="Kinds of task: which of them no node shall start. For admins.", no_args_is_help=True)

KindArgument = Annotated[str, typer.Argument(help="The kind's name, such as echo.", metavar="TYPE")]


@kinds.command()
def paused(url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False) -> None:
    """Every kind that is paused, since when, and by whose wish."""
    with connect(url, token, Role.ADMIN) as service:
        response = service.get("/v1/admin/task-types")
    if as_json:
        print_raw(response.text)
        return
    found = response.json()["items"]
    for each in found:
        say(f"{each['type']} is paused since {each['paused_at']}, by {each['paused_by']}")
    if not found:
        say("No kind of task is paused.")


@kinds.command()
def pause(
    name: KindArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """Let no node start tasks of a kind; they can be submitted, and wait."""
    _want(name, "pause", url, token, as_json=as_json)


@kinds.command()
def resume(
    name: KindArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """Let tasks of a kind start again."""
    _want(name, "resume", url, token, as_json=as_json)


def _want(name: str, wish: str, url: str, token: str | None, *, as_json: bool) -> None:
    with connect(url, token, Role.ADMIN) as service:
        response = service.post(f"/v1/admin/task-types/{quote(name, safe='')}/{wish}")
    if as_json:
        print_raw(response.text)
    else:
        say(f"{name} is paused." if response.json()["paused"] else f"{name} is not paused.")
