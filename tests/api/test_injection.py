"""Text that means something to databases, logs, terminals and interpreters: here it is text."""

import json
import re

import pytest

from app.api.policies import POLICIES
from app.protocol.roles import Role
from tests.api.caller import Caller, Callers, Json, details, message
from tests.support.service import Service
from tests.support.waiting import wait_until

TEXTS = [
    "'; DROP TABLE tasks; --",
    "' OR '1'='1",
    "$1 %s :name ?",
    "%_\\",
    '$.** ? (@ like_regex ".*")',
    "${jndi:ldap://127.0.0.1/x}",
    "\u001b[31mred\u001b[0m",
    'a\r\n{"level":"error","event":"forged"}',
    "cos\nsystem\n(S'id'\ntR.",
    "{{7*7}} <script>alert(1)</script>",
    "../../etc/passwd",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_means_something_elsewhere_comes_back_as_it_was(alice: Caller, text: str) -> None:
    task_id = alice.submit(message("echo", {text: text}, labels={"text": text}))
    status = alice.finished(task_id)
    assert details(status)["result"] == {text: text}
    assert details(status)["labels"] == {"text": text}
    mine = {"label": f"text={text}", "type": "echo"}
    assert [details(item)["task_id"] for item in alice.http.get("/v1/tasks", params=mine).json()["items"]] == [task_id]
    for name in ("type", "message_id", "submitter"):
        assert alice.http.get("/v1/tasks", params={name: text}).json()["items"] == []
    unknown = message(text)
    response = alice.post(unknown)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/body/task_specification/type"


WITH_PARAMETERS = sorted((method, path) for method, path in POLICIES if "{" in path)


@pytest.mark.parametrize(("method", "path"), WITH_PARAMETERS)
@pytest.mark.parametrize("text", ["%00", "a%00b", "%ff", "%f0%9f%98%80", "%0a"])
def test_no_text_in_a_path_is_a_defect(callers: Callers, method: str, path: str, text: str) -> None:
    caller = callers.make(Role.EXECUTOR if path.startswith("/v1/executions") else Role.ADMIN)
    body: Json | None = {} if method in ("POST", "PUT") else None
    response = caller.http.request(method, re.sub(r"{\w+}", text, path), json=body)
    assert response.status_code in (404, 422), response.text


def speaks_of(wire: Service, subject: str) -> list[str]:
    """All lines of the log, once one of them names the subject."""
    lines = wire.log.splitlines()
    return lines if any(subject in line for line in lines) else []


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_means_something_elsewhere_is_one_line_of_the_log(wire: Service, alice: Caller, text: str) -> None:
    printable = "".join(letter if letter >= " " else "." for letter in text)
    alice.finished(alice.submit(message(message_id=f"{printable}-{alice.subject}")))
    alice.http.get("/v1/tasks/" + "".join(f"%{byte:02x}" for byte in text.encode()), headers={"Authorization": "x"})
    lines = wait_until(lambda: speaks_of(wire, alice.subject), "the log speaks of it", 30)
    assert all("forged" not in json.loads(line)["event"] for line in lines if line.startswith('{"'))
    assert "\u001b" not in wire.log
