import json

from tests.support.service import Service


def test_erases_and_says_by_whom(service: Service) -> None:
    submitted = service.command("submit", "--type", "echo", "--param", "s=secret", "--wait", "--json")
    task_id = json.loads(submitted.stdout.splitlines()[-1])["body"]["details"]["task_id"]
    told = service.command("erase", task_id)
    assert (told.returncode, told.stderr) == (0, "")
    assert f"The content of task {task_id} was erased at " in told.stdout
    assert json.loads(service.command("erase", task_id, "--json").stdout)["task_id"] == task_id
    assert "secret" not in service.command("status", task_id, "--json").stdout
