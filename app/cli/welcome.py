"""What a service says when it is ready: where it is, and what to type first."""

import shlex
import shutil
import sys
from pathlib import Path

from app.cli.options import DEFAULT_URL
from app.cli.own_token import uses_own_key
from app.settings import Settings, variable_of

PROGRAM = "task-executor"


def welcome(url: str, settings: Settings) -> str:
    """Lines for people. Each command in them works as it stands, in the folder in which the service was started."""
    command = _command()
    if "data_dir" in settings.storage.model_fields_set:
        command = f"{variable_of('data_dir')}={shlex.quote(str(settings.storage.data_dir))} {command}"
    option = "" if url == DEFAULT_URL else f" --url {url}"
    own = uses_own_key(settings.security)
    token = f"{command} token" if own else f"from the issuer {settings.security.jwt_issuer!r}"
    return (
        f"\nTask Executor is ready at {url}\n"
        f"  Try it in the browser   {url}/docs\n"
        f"  Get a token             {token}\n"
        f"  Submit a first task     {command} submit --type echo --param greeting=hello --wait{option}\n"
        f"  Stop                    Ctrl-C (running tasks are finished or handed back)\n"
    )


def _command() -> str:
    """How to call this program again: by its name where the shell finds it, or else as it was called."""
    called = Path(sys.argv[0])
    if shutil.which(PROGRAM):
        return PROGRAM
    return shlex.quote(str(called)) if called.name == PROGRAM else f"{shlex.quote(sys.executable)} -m app"
