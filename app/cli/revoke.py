"""task-executor revoke: tokens count no more although they have not expired."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from app.cli.credentials import connect
from app.cli.durations import parse_moment
from app.cli.failures import Usage
from app.cli.options import DEFAULT_URL, JsonOption, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.protocol.roles import Role

PATH = "/v1/admin/revocations"


def revoke(
    *,
    subject: Annotated[str | None, typer.Option(help="All tokens of this subject, those made later too.")] = None,
    token_id: Annotated[str | None, typer.Option(help="The one token with this id (its claim jti).")] = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="When it ends: a span from now or a date-time. Left out, when no token of today is valid any more.",
            metavar="WHEN",
        ),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse the tokens of a subject, or one token, at all nodes within five seconds (for admins)."""
    if (subject is None) == (token_id is None):
        raise Usage("Say whom or what: either --subject or --token-id")
    wanted: dict[str, Any] = {"subject": subject} if token_id is None else {"token_id": token_id}
    if until is not None:
        wanted["until"] = parse_moment(until, datetime.now(UTC))
    with connect(url, token, Role.ADMIN) as service:
        answer = service.post(PATH, json.dumps(wanted).encode())
    if as_json:
        print_raw(answer.text)
        return
    made = answer.json()
    say(f"Refused until {made['until']}. To take it back: task-executor revocations lift {made['revocation_id']}")
