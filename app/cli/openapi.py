"""task-executor openapi: the description of the HTTP interface as a file, and whether it is current."""

import difflib
import json
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from app.cli.failures import CommandFailed
from app.cli.output import say

DEFAULT_PATH = Path("openapi/openapi.json")
SHOWN_LINES = 40


def openapi(
    output: Annotated[Path, typer.Option(help="Where the file is.")] = DEFAULT_PATH,
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 where it is out of date.")] = False,
) -> None:
    """Write the OpenAPI document of the service to a file, or check that the file is current."""
    current = render()
    if not check:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(current, encoding="utf-8")
        say(f"{output} is written.")
        return
    written = output.read_text(encoding="utf-8") if output.exists() else ""
    if written != current:
        raise CommandFailed(
            f"{output} is out of date: run `task-executor openapi` and commit it.\n{_difference(written, current)}"
        )
    say(f"{output} is current.")


def render() -> str:
    """The document as text: two spaces of indentation, members in the order in which FastAPI gives them."""
    from app.main import create_app  # noqa: PLC0415 - the other commands start without FastAPI

    return json.dumps(create_app().openapi(), indent=2, ensure_ascii=False) + "\n"


def _difference(written: str, current: str) -> str:
    lines = difflib.unified_diff(written.splitlines(), current.splitlines(), "the file", "the code", "", "", 1, "")
    shown = list(islice(lines, SHOWN_LINES + 1))
    return "\n".join(shown[:SHOWN_LINES] + (["…"] if len(shown) > SHOWN_LINES else []))
