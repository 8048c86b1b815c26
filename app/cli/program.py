"""The program `task-executor`: its commands, and how it ends."""

import gc
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from app.cli.failures import CommandFailed, Refused
from app.cli.output import complain, print_raw, say

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

SENTENCES = {
    "serve": "Run the service. Its settings are environment variables: docs/configuration.md.",
    "migrate": "Bring the schema of the database at DATABASE_URL up to this version; safe to run again.",
    "token": "Print a token, signed with the key in the data directory of this machine's service.",
    "keys": "The service's own keys.",
    "revoke": "Refuse the tokens of a subject, or one token, at all nodes within five seconds (for admins).",
    "revocations": "What is revoked, and taking it back (for admins).",
    "audit": "Whether the histories are as they were recorded.",
    "prune": "Drop whole weeks of tasks that were over so long ago, with their histories.",
    "doctor": "Check the settings, the directories, the keys, the port, the database and the clock of this machine.",
    "settings": "Show every setting: its environment variable, its value here, its default.",
    "nodes": "Nodes: who serves, and who shall take no more tasks. For admins.",
    "kinds": "Kinds of task: which of them no node shall start. For admins.",
    "openapi": "Write the OpenAPI document of the service to a file, or check that the file is current.",
    "submit": "Submit a task: from a message in a file, from stdin, or from options.",
    "status": "Show how a task stands: its progress, why it waits, its result or error.",
    "watch": "Follow a task to its end, with a progress bar; Ctrl-C stops watching, not the task.",
    "list": "List your tasks, the newest first. With --json one task is one line.",
    "explain": "Say in words why a task waits and when it is expected to start, or how it goes.",
    "quota": "Your quota; for admins, the quotas of others.",
    "cancel": "Cancel a task: one that waits at once, one that runs after a short time to stop by itself.",
    "webhooks": "Webhooks: what arrived, sending it again, the secret that signs.",
    "erase": "Erase the messages, result, error and labels of a task that is over. Its history can still be verified.",
}
"""What each says of itself first. The help shows it without loading them, which would take a second for all."""

COLLECT_AFTER = 50_000
"""Objects made and not yet gone, in containers of all kinds, before the garbage collector looks at the young ones.

Nearly all that a request or a task leaves behind goes by reference count. With Python's own threshold of 700 the
collector took a fifth of a busy service's processor time, as it went again and again through the tasks under way, and a
tenth of each start, as it went through what was being imported.
"""


class _OnDemand(TyperGroup):
    """Lists the commands as the table has them, and loads the one that was typed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else loaded(name), rest


def program() -> typer.Typer:
    """The program with all of its commands."""
    app = _empty(cls=_OnDemand)
    app.callback()(_options)
    for name, (panel, _, _) in COMMANDS.items():
        app.command(name, help=SENTENCES[name], rich_help_panel=panel)(_no_options)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code (see failures.ExitCode). `arguments` are those of the process."""
    gc.set_threshold(COLLECT_AFTER)
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        program()(args=typed, prog_name="task-executor")
    except CommandFailed as failure:
        if isinstance(failure, Refused) and "--json" in typed:
            print_raw(json.dumps(failure.problem, ensure_ascii=False))
        complain(str(failure))
        sys.exit(failure.exit_code)


def loaded(name: str) -> TyperCommand | TyperGroup:
    """One command, which is imported for that."""
    panel, module, function = COMMANDS[name]
    gc.disable()
    command: Callable[..., Any] | typer.Typer = getattr(importlib.import_module(module), function)
    gc.freeze()
    gc.enable()
    app = _empty()
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name, rich_help_panel=panel)
    else:
        app.command(name, rich_help_panel=panel)(command)
    return cast("TyperCommand | TyperGroup", typer.main.get_group(app).commands[name])


def _empty(cls: type[TyperGroup] | None = None) -> typer.Typer:
    app = typer.Typer(
        cls=cls, help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown"
    )
    # Without this, a program of one command would take that command's options for its own.
    app.callback()(_no_options)
    return app


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - called by Typer, with the value alone
    if wanted:
        # Loaded here: the versions of what is installed take a tenth of a second to read.
        from app.version import PROTOCOL_VERSION, VERSION  # noqa: PLC0415 - see above

        say(f"task-executor {VERSION} (Task Execution Protocol {PROTOCOL_VERSION})")
        raise typer.Exit


def _options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """What can be said before any command, beside --help and what completes words in a shell."""


def _no_options() -> None:
    """A command on its own has no options of the program."""
