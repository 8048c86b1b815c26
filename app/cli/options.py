"""Options that several commands share."""

from pathlib import Path
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
PrivateKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--private-key",
        envvar="TASK_EXECUTOR_PRIVATE_KEY",
        show_envvar=True,
        help="A file with your RSA key (PEM): answers are asked for encrypted and opened with it. The token must be "
        "bound to its public half (token --cnf).",
        metavar="FILE",
    ),
]
TaskIdArgument = Annotated[str, typer.Argument(help="The task's id, as submit and list show it.", metavar="TASK_ID")]
