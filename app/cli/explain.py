"""task-executor explain: why a task has not started, or how it goes, in words."""

from app.cli.credentials import connect
from app.cli.options import DEFAULT_URL, JsonOption, TaskIdArgument, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.cli.service import task_path


def explain(
    task_id: TaskIdArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """Say in words why a task waits and when it is expected to start, or how it goes."""
    with connect(url, token) as service:
        response = service.get(task_path(task_id, "explanation"))
    if as_json:
        print_raw(response.text)
    else:
        found = response.json()
        say(f"Task {found['task_id']} {found['explanation']}.")
