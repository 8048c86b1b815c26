"""task-executor cancel: stop a task."""

from app.cli.credentials import connect
from app.cli.options import DEFAULT_URL, JsonOption, TaskIdArgument, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.cli.service import task_path
from app.cli.task_view import view


def cancel(
    task_id: TaskIdArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """Cancel a task: one that waits at once, one that runs after a short time to stop by itself."""
    with connect(url, token) as service:
        task = view(service.post(task_path(task_id, "cancel")).text)
    if as_json:
        print_raw(task.text)
    elif task.state.terminal:
        say(f"Task {task.task_id} is cancelled.")
    else:
        say(f"Task {task.task_id} was told to stop. See: task-executor watch {task.task_id}")
