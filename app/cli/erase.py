"""task-executor erase: erase what a task contained."""

from app.cli.credentials import connect
from app.cli.options import DEFAULT_URL, JsonOption, TaskIdArgument, TokenOption, UrlOption
from app.cli.output import print_raw, say
from app.cli.service import task_path


def erase(
    task_id: TaskIdArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, *, as_json: JsonOption = False
) -> None:
    """Erase the messages, result, error and labels of a task that is over. Its history can still be verified.

    There is no way back.
    """
    with connect(url, token) as service:
        answer = service.delete(task_path(task_id, "content"))
    if as_json:
        print_raw(answer.text)
        return
    erased = answer.json()
    say(f"The content of task {task_id} was erased at {erased['erased_at']} by {erased['erased_by']}.")
