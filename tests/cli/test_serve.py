"""The service as a process: how it starts, how it does not, how it ends; and the client commands against it."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.machine import free_port
from tests.support.service import Service
from tests.support.waiting import wait_until

Start = Callable[..., Service]


@pytest.fixture
def stopped(tmp_path: Path, database_url: str) -> Service:
    """A service that is not running: for starts that fail."""
    return Service(tmp_path, database_url, from_scratch=True)


def fails(service: Service, **settings: str) -> str:
    """Starts the service with settings that stop it, and returns the one sentence that it ends with."""
    service.environment |= {f"TASK_EXECUTOR_{name.upper()}": value for name, value in settings.items()}
    ended = service.command("serve")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_well(start_service: Start, number: signal.Signals) -> None:
    service = start_service(from_scratch=True)
    for expected in (f"{service.url}/docs", " token\n", f"--url {service.url}", "Ctrl-C"):
        assert expected in service.log
    with service.blocking_client() as client:
        assert client.get("/v1/tasks").status_code == 200
    assert service._end(number) == 0
    log = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    assert log[-1]["event"] == "the service has stopped"
    assert not [line for line in log if line["level"] == "error"]


def test_every_line_of_a_task_names_it(start_service: Start) -> None:
    service = start_service()
    ended = service.command("submit", "--type", "echo", "--param", "a=1", "--message-id", "mine", "--wait", "--json")
    assert ended.returncode == 0
    task_id = json.loads(ended.stdout.splitlines()[-1])["body"]["details"]["task_id"]
    service.stop()
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    mine = [line for line in lines if line.get("task_id") == task_id]
    assert (mine[0]["event"], mine[-1]["event"]) == ("submission", "completion")
    assert all(line["message_id"] == "mine" for line in mine)


def test_a_held_answer_does_not_hold_up_the_end(start_service: Start) -> None:
    """A watch is open at SIGTERM; it must get through the restart that follows, and to the task's end."""
    service = start_service(drain_s="0.2")
    submitted = service.command("submit", "--type", "sleep", "--param", "seconds=600", "--json")
    task_id = json.loads(submitted.stdout)["body"]["details"]["task_id"]
    with subprocess.Popen(
        [sys.executable, "-m", "app", "watch", task_id, "--json"],
        env={**service.environment, "TASK_EXECUTOR_URL": service.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        first = watching.stdout.readline()
        assert json.loads(first)["body"]["details"]["task_id"] == task_id
        assert service.stop() == 0
        service.start()
        assert service.command("cancel", task_id).returncode == 0
        rest = watching.stdout.readlines()
    assert watching.returncode == 1
    assert json.loads(rest[-1])["body"]["details"]["reason"] == "cancelled"


def test_a_port_that_is_taken(stopped: Service) -> None:
    with socket.create_server(("127.0.0.1", stopped.port)):
        assert f"Port {stopped.port} on 127.0.0.1 is taken" in fails(stopped)


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "many"), ("port", "70000"), ("capacity", "{"), ("log_level", "debug"), ("fault_points", "here:1:kill")],
)
def test_a_wrong_setting_is_named(stopped: Service, name: str, value: str) -> None:
    assert f"TASK_EXECUTOR_{name.upper()}" in fails(stopped, **{name: value})


def test_a_module_of_task_types_that_is_not_there(stopped: Service) -> None:
    assert "no.such.module" in fails(stopped, task_types="no.such.module")


def test_a_database_that_is_away(stopped: Service) -> None:
    stopped.environment["DATABASE_URL"] = f"postgresql://someone@127.0.0.1:{free_port()}/tasks"
    assert fails(stopped).startswith("The database cannot be reached")


def test_a_database_without_the_schema(tmp_path: Path, empty_database_url: str) -> None:
    assert "task-executor migrate" in fails(Service(tmp_path, empty_database_url, from_scratch=True))


def test_an_address_that_is_not_ours(stopped: Service) -> None:
    assert "192.0.2.1 is no address of this machine" in fails(stopped, host="192.0.2.1")


def test_the_options_go_before_the_environment(stopped: Service) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        ended = stopped.command("serve", "--port", str(port))
    assert f"Port {port} on 127.0.0.1 is taken" in ended.stderr


def test_a_signal_during_the_start_ends_it_too(stopped: Service) -> None:
    stopped.launch()
    wait_until(lambda: "Started server process" in stopped.log, "the start has begun", 30)
    assert stopped.stop() == 0


def test_the_way_of_a_newcomer(start_service: Start) -> None:
    """Every client command once, without a token: the key of the service lies beside."""
    service = start_service()
    ended = service.command("submit", "--type", "echo", "--param", "greeting=hello", "--label", "a=b", "--wait")
    assert ended.returncode == 0, ended.stderr
    assert '"greeting": "hello"' in ended.stdout

    message = {
        "type": "submit_task",
        "header": {"message_id": "from-stdin", "timestamp": "2024-03-21T10:00:00Z"},
        "body": {"task_specification": {"type": "sleep", "parameters": {"seconds": 600}}, "priority": 1},
    }
    ended = service.command("submit", "-", standard_input=json.dumps(message))
    assert ended.returncode == 0, ended.stderr
    [listed] = service.command("list", "--message-id", "from-stdin", "--json").stdout.splitlines()
    task_id = json.loads(listed)["body"]["details"]["task_id"]
    assert task_id in ended.stdout

    assert task_id in service.command("status", task_id).stdout
    assert service.command("cancel", task_id).returncode == 0
    ended = service.command("watch", task_id)
    assert ended.returncode == 1
    assert "Failed (cancelled)" in ended.stdout

    [labelled] = service.command("list", "--label", "a=b", "--json").stdout.splitlines()
    assert json.loads(labelled)["body"]["status"] == "Completed"
    assert service.command("cancel", task_id).returncode == 3
    assert service.command("submit", "--type", "echo", "--validate-only").returncode == 0
    ended = service.command("submit", "--type", "ecko")
    assert ended.returncode == 3
    assert "/body/task_specification/type" in ended.stderr
