"""task-executor submit: hand a task to the service."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import typer

from app.cli import message
from app.cli.credentials import connect
from app.cli.encryption import envelope_of
from app.cli.failures import Usage
from app.cli.options import DEFAULT_URL, JsonOption, PrivateKeyOption, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.cli.service import Service
from app.cli.task_view import pretty, view
from app.cli.watch import watch_to_end

FileArgument = Annotated[
    str | None, typer.Argument(help="A file with a whole submit_task message, or - for stdin.", metavar="[FILE]")
]
KindOption = Annotated[
    str | None, typer.Option("--type", help="The kind of task; GET /v1/task-types lists them.", metavar="TYPE")
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(help="A parameter; the value is JSON, or else text. Repeatable.", metavar="NAME=VALUE"),
]
ParametersOption = Annotated[
    str | None, typer.Option(help="A file with all parameters as a JSON object, or - for stdin.", metavar="FILE")
]
PriorityOption = Annotated[int, typer.Option(help="The lower number runs first.")]
DeadlineOption = Annotated[
    str | None, typer.Option(help="When it must be over: 30m from now, or an RFC 3339 date-time.", metavar="TIME")
]
TimeoutOption = Annotated[str | None, typer.Option(help="Longest time of one attempt: 90s, 1h30m.", metavar="SPAN")]
AttemptsOption = Annotated[int | None, typer.Option(help="How often it may be tried in all.", min=1)]
ResourceOption = Annotated[
    list[str] | None,
    typer.Option(help="cpu=2, memory_mb=512, gpu=1 or custom.NAME=1. Repeatable.", metavar="UNIT=AMOUNT"),
]
LabelOption = Annotated[list[str] | None, typer.Option(help="To find the task by. Repeatable.", metavar="NAME=VALUE")]
MessageIdOption = Annotated[
    str | None, typer.Option(help="Your own id of the message; sending it again makes no second task.", metavar="ID")
]
ValidateOption = Annotated[bool, typer.Option("--validate-only", help="Check everything, keep nothing.")]
EncryptOption = Annotated[bool, typer.Option("--encrypt", help="Send the message encrypted with the service's key.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Watch the task to its end; exit code 1 where it fails.")]


def submit(  # noqa: PLR0913 - each is an option of the command
    file: FileArgument = None,
    *,
    kind: KindOption = None,
    param: ParamOption = None,
    parameters: ParametersOption = None,
    priority: PriorityOption = 0,
    deadline: DeadlineOption = None,
    timeout: TimeoutOption = None,
    max_attempts: AttemptsOption = None,
    resource: ResourceOption = None,
    label: LabelOption = None,
    message_id: MessageIdOption = None,
    validate_only: ValidateOption = False,
    wait: WaitOption = False,
    encrypt: EncryptOption = False,
    private_key: PrivateKeyOption = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a task: from a message in a file, from stdin, or from options.

    `task-executor submit --type echo --param greeting=hello --wait`
    """
    if (file is None) == (kind is None):
        raise Usage("Give either --type and its parameters, or a file with a whole message (- for stdin).")
    if file is not None:
        _refuse_options_beside_file(param, parameters, deadline, timeout, max_attempts, resource, label, message_id)
        content = message.read_file(file, sys.stdin.buffer)
    else:
        draft = message.Draft(
            kind=str(kind),
            priority=priority,
            message_id=message_id or f"cli-{uuid4().hex}",
            parameters=_parameters(parameters, param or []),
            resources=message.parse_resources(resource or []),
            labels=message.parse_labels(label or []),
            deadline=deadline,
            timeout=timeout,
            max_attempts=max_attempts,
        )
        content = message.build(draft, datetime.now(UTC))
    with connect(url, token, private_key=private_key) as service:
        _send(service, content, as_json=as_json, validate_only=validate_only, wait=wait, encrypt=encrypt)


def _refuse_options_beside_file(*options: object) -> None:
    if any(options):
        raise Usage("A file holds the whole message: the options that describe a task go with --type only.")


def _parameters(file: str | None, pairs: list[str]) -> dict[str, Any]:
    """Those of the file, with single ones put over them."""
    whole = message.parse_object(message.read_file(file, sys.stdin.buffer), file) if file is not None else {}
    return whole | message.parse_parameters(pairs)


def _send(service: Service, content: bytes, *, as_json: bool, validate_only: bool, wait: bool, encrypt: bool) -> None:
    sent = envelope_of(service, content) if encrypt else content
    answer = service.submit(sent, validate_only=validate_only, encrypted=encrypt)
    if validate_only:
        print_raw(answer.text) if as_json else say(pretty(json.loads(answer.text)))
        return
    task = view(answer.text)
    if wait:
        if not as_json:
            say(f"Task {task.task_id}")
        raise typer.Exit(watch_to_end(service, task.task_id, as_json=as_json, answered=True))
    if as_json:
        print_raw(task.text)
        return
    again = answer.headers.get("Idempotent-Replayed") == "true"
    say(f"Task {task.task_id} " + ("was there already: the same message came before." if again else "is accepted."))
    say(f"Follow it: task-executor watch {task.task_id}")
