"""The program `task-executor`: its commands, and how it ends."""

import gc
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer

from app.cli.failures import CommandFailed, Refused
from app.cli.output import complain, print_raw

HELP = "Task Executor: background work by HTTP. Start a service, hand it tasks, see how they go."
SERVICE, TASKS = "The service", "Tasks"
COMMANDS = {
    "serve": (SERVICE, "app.cli.serve", "serve"),
    "migrate": (SERVICE, "app.cli.migrate", "migrate"),
    "token": (SERVICE, "app.cli.token", "token"),
    "keys": (SERVICE, "app.cli.keys", "keys"),
    "revoke": (SERVICE, "app.cli.revoke", "revoke"),
    "revocations": (SERVICE, "app.cli.revocations", "revocations"),
    "audit": (SERVICE, "app.cli.audit", "audit"),
    "prune": (SERVICE, "app.cli.prune", "prune"),
    "doctor": (SERVICE, "app.cli.doctor", "doctor"),
    "settings": (SERVICE, "app.cli.settings_", "settings"),
    "nodes": (SERVICE, "app.cli.nodes", "nodes"),
    "kinds": (SERVICE, "app.cli.kinds", "kinds"),
    "openapi": (SERVICE, "app.cli.openapi", "openapi"),
    "submit": (TASKS, "app.cli.submit", "submit"),
    "status": (TASKS, "app.cli.status", "status"),
    "watch": (TASKS, "app.cli.watch", "watch"),
    "list": (TASKS, "app.cli.list_", "list_tasks"),
    "explain": (TASKS, "app.cli.explain", "explain"),
    "quota": (TASKS, "app.cli.quota", "quota"),
    "cancel": (TASKS, "app.cli.cancel", "cancel"),
    "webhooks": (TASKS, "app.cli.webhooks", "webhooks"),
    "erase": (TASKS, "app.cli.erase", "erase"),
}
"""Where each command stands: the heading in the help, the module, and the function in it (or a program of its own)."""

COLLECT_AFTER = 50_000
"""Objects made and not yet gone, in containers of all kinds, before the garbage collector looks at the young ones.

Nearly all that a request or a task leaves behind goes by reference count. With Python's own threshold of 700 the
collector took a fifth of a busy service's processor time, as it went again and again through the tasks under way, and a
tenth of each start, as it went through what was being imported.
"""


def program(names: Sequence[str]) -> typer.Typer:
    """The program with the commands of these names."""
    app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    # Without this, a program of one command would take that command's options for its own.
    app.callback()(_no_options)
    for name in names:
        panel, module, function = COMMANDS[name]
        command: Callable[..., Any] | typer.Typer = getattr(importlib.import_module(module), function)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(command)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code (see failures.ExitCode). `arguments` are those of the process."""
    gc.set_threshold(COLLECT_AFTER)
    typed = list(sys.argv[1:] if arguments is None else arguments)
    # Only the command that was typed is loaded: `status` starts in a third of the time that all of them take.
    names = typed[:1] if typed and typed[0] in COMMANDS else list(COMMANDS)
    try:
        program(names)(args=typed, prog_name="task-executor")
    except CommandFailed as failure:
        if isinstance(failure, Refused) and "--json" in typed:
            print_raw(json.dumps(failure.problem, ensure_ascii=False))
        complain(str(failure))
        sys.exit(failure.exit_code)


def _no_options() -> None:
    """The program itself has no options beside --help and those for the shell's completion."""
