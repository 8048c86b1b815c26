"""Answers encrypted to the key of the caller's token: every kind of them, and the keys that nothing is encrypted to."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.encrypted_answers import RECIPIENT, note_recipient
from app.api.problems import Problem
from app.protocol.roles import AnswerKey, Principal, Role
from app.security.own_key import own_signing_key
from tests.api.caller import Caller, Callers, details, message
from tests.api.envelopes import ENCRYPTED, Correspondent, opened
from tests.security.forge import b64, number, rsa_jwk
from tests.support.service import Service

CANARY = "canary-93ce"
MODULUS = int.from_bytes(b"\xc1" + bytes(254) + b"\x03", "big")


@pytest.fixture
def alice(callers: Callers) -> Correspondent:
    return Correspondent.of(callers)


@pytest.fixture
def done(alice: Correspondent) -> str:
    """The id of a completed task that came encrypted."""
    task_id = alice.submit(message(parameters={"note": CANARY}))
    alice.caller.finished(task_id)
    return task_id


def test_status_result_and_history_are_open_inside_and_nowhere_else(alice: Correspondent, done: str) -> None:
    base = f"/v1/tasks/{done}"
    assert details(alice.read(base))["result"] == {"note": CANARY}
    assert alice.read(f"{base}/result") == {"note": CANARY}
    items = alice.read(f"{base}/messages")["items"]
    assert items[0]["message"]["body"]["task_specification"]["parameters"] == {"note": CANARY}
    assert details(items[-1]["message"])["result"] == {"note": CANARY}
    (only,) = alice.read("/v1/tasks?view=full&limit=1")["items"]
    assert details(only)["result"] == {"note": CANARY}
    for path in (base, f"{base}/messages", "/v1/tasks?view=full", f"{base}/events"):
        assert CANARY not in alice.caller.http.get(path).text


def test_the_hashes_inside_are_those_of_what_is_stored(alice: Correspondent, done: str) -> None:
    inside = alice.read(f"/v1/tasks/{done}/messages")["items"]
    assert [item["hash"] for item in inside] == [item["hash"] for item in alice.caller.history(done)]


def test_an_answer_keeps_its_headers(alice: Correspondent, done: str) -> None:
    plain = alice.caller.get(done)
    sealed = alice.caller.get(done, Accept="application/jose")
    assert sealed.headers["etag"] == f"W/{plain.headers['etag']}"
    assert sealed.headers["vary"] == "Accept"
    assert sealed.headers["cache-control"] == "no-store"
    assert "ratelimit" in sealed.headers
    unchanged = alice.caller.get(done, Accept="application/jose", **{"If-None-Match": sealed.headers["etag"]})
    assert unchanged.status_code == 304
    assert (unchanged.headers["etag"], unchanged.headers["vary"]) == (sealed.headers["etag"], "Accept")


def test_answers_to_submissions_are_encrypted_too(alice: Correspondent) -> None:
    sent = message(parameters={"note": CANARY})
    first = alice.post(sent, **ENCRYPTED)
    assert first.status_code == 202
    task_id = details(opened(first))["task_id"]
    assert first.headers["location"] == f"/v1/tasks/{task_id}"
    alice.caller.finished(task_id)
    assert details(opened(alice.post(sent, **ENCRYPTED)))["result"] == {"note": CANARY}
    assert opened(alice.post(message(), "?validate_only=true", **ENCRYPTED))["valid"] is True
    batch = {"messages": [alice.envelope(sent), alice.envelope(message())]}
    outcomes = opened(alice.caller.http.post("/v1/tasks/batch", json=batch, headers=ENCRYPTED))["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == [200, 202]
    assert details(outcomes[0]["task"])["result"] == {"note": CANARY}


def test_what_came_in_plain_is_encrypted_in_an_answer_as_well(alice: Correspondent) -> None:
    task_id = alice.caller.submit(message(parameters={"note": "plain"}))
    alice.caller.finished(task_id)
    assert details(alice.read(f"/v1/tasks/{task_id}"))["result"] == {"note": "plain"}
    assert alice.read("/v1/task-types/echo")["type"] == "echo"


def events(text: str) -> list[dict[str, str]]:
    return [
        dict(line.split(": ", 1) for line in block.split("\n"))
        for block in text.strip().split("\n\n")
        if block.startswith("id:")
    ]


@pytest.mark.parametrize("accept", ["application/jose", "text/event-stream, application/jose"])
def test_the_data_of_a_stream_are_encrypted(alice: Correspondent, done: str, accept: str) -> None:
    response = alice.caller.get(done, "/events", Accept=accept)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert CANARY not in response.text
    found = events(response.text)
    assert [event["event"] for event in found][::7] == ["SubmitTask", "TaskCompleted"]
    last = opened(found[-1]["data"])
    assert str(last["sequence"]) == found[-1]["id"]
    assert details(last["message"])["result"] == {"note": CANARY}


def test_without_a_key_of_one_s_own_the_result_is_given_where_it_is_asked_for_plainly(callers: Callers) -> None:
    alice = Correspondent.of(callers)
    unbound = callers.make(Role.SUBMITTER, subject=alice.caller.subject)
    task_id = alice.submit(message(parameters={"note": CANARY}))
    unbound.finished(task_id)
    refused = unbound.get(task_id, "/result")
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (406, "encrypted-result")
    assert unbound.get(task_id, "/result?plain=true").json() == {"note": CANARY}
    assert unbound.get(task_id, "/result?plain=perhaps").status_code == 422


def test_an_encrypted_answer_needs_a_token_that_is_bound_to_a_key(bob: Caller) -> None:
    response = bob.http.get("/v1/tasks", headers=ENCRYPTED)
    assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (406, "no-answer-key")
    refused = bob.http.post("/v1/tasks", json=message(message_id="not-taken"), headers=ENCRYPTED)
    assert refused.status_code == 406
    assert bob.http.get("/v1/tasks?message_id=not-taken").json()["items"] == []


UNUSABLE: dict[str, Any] = {
    "RSA-1024": rsa_jwk(n=number(2**1023 + 1)),
    "e is 1": rsa_jwk(e="AQ"),
    "e is 3": rsa_jwk(e="Aw"),
    "an even modulus": rsa_jwk(n=number(2**2047 + 2)),
    "a private key": rsa_jwk(d="c2VjcmV0LWV4cG9uZW50"),
    "a PEM": "-----BEGIN PUBLIC KEY-----" + "A" * 4000,
    "a modulus of 8 KB": rsa_jwk(n=b64(b"\xff" * 1024)),
}


def bound_token(wire: Service, jwk: object) -> str:
    """A token by the service's own key whose holder is bound to anything."""
    now = int(time.time())
    claims = {"iss": "task-executor", "aud": "task-executor", "sub": "carol", "roles": ["submitter"]}
    times = {"iat": now, "exp": now + 60, "cnf": {"jwk": jwk}}
    return own_signing_key(Path(wire.environment["TASK_EXECUTOR_DATA_DIR"])).sign({**claims, **times})


@pytest.mark.parametrize("name", UNUSABLE)
def test_nothing_is_encrypted_to_an_unfit_key(wire: Service, nobody: httpx.Client, name: str) -> None:
    authorization = {"Authorization": f"Bearer {bound_token(wire, UNUSABLE[name])}"}
    response = nobody.get("/v1/tasks", headers={**authorization, **ENCRYPTED})
    assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (422, "unusable-answer-key")
    assert response.json()["errors"][0]["pointer"] == "/cnf/jwk"
    assert nobody.get("/v1/tasks", headers=authorization).status_code == 200
    assert "c2VjcmV0LWV4cG9uZW50" not in response.text + wire.log


BOUND = AnswerKey(json.dumps(rsa_jwk()), None)


def wanted(accept: list[str], key: AnswerKey | None = BOUND) -> bool:
    scope: dict[str, Any] = {"headers": [(b"accept", value.encode()) for value in accept]}
    note_recipient(scope, Principal("alice", frozenset(), admin=False, expires_at=0, answer_key=key))
    return RECIPIENT in scope


@pytest.mark.parametrize(
    ("accept", "encrypted"),
    [
        ([], False),
        (["*/*"], False),
        (["application/json"], False),
        (["application/josephine"], False),
        (["application/jose"], True),
        (["Application/JOSE"], True),
        (["application/json, application/jose"], True),
        (["application/json", "application/jose;q=0.5"], True),
        (["application/jose;q=1.0, */*;q=0.1"], True),
        (["application/jose;q=0"], False),
        (["application/jose; q=0.000, application/json"], False),
        (["application/jose ; v=1"], True),
    ],
)
def test_what_accept_asks_for(accept: list[str], encrypted: bool) -> None:
    assert wanted(accept) is encrypted


def test_who_takes_json_as_well_gets_it_where_there_is_no_key() -> None:
    assert not wanted(["application/jose, application/json;q=0.5"], None)
    assert not wanted(["application/jose, */*"], AnswerKey(None, "weak"))
    with pytest.raises(Problem):
        wanted(["application/jose, text/event-stream"], None)
