"""Options that several commands share."""

from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8000"

UrlOption = Annotated[
    str,
    typer.Option("--url", envvar="TASK_EXECUTOR_URL", help="Where the service is.", metavar="URL"),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="TASK_EXECUTOR_TOKEN",
        show_envvar=True,
        help="Who you are. Left out, a service on this machine with its own key knows you by your user name.",
        metavar="TOKEN",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the service's JSON as it came, for scripts.")]
TaskIdArgument = Annotated[str, typer.Argument(help="The task's id, as submit and list show it.", metavar="TASK_ID")]
