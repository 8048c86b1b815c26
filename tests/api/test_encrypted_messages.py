"""Encrypted submissions over the wire: what is taken, what is refused and how little that tells."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.protocol.roles import Role
from tests.api.caller import PROBLEM, Callers, Json, details, message, pointers
from tests.api.envelopes import JOSE, Correspondent, encrypted
from tests.security.forge import b64, number

CANARY = "canary-4b1d"


@pytest.fixture
def alice(callers: Callers) -> Correspondent:
    return Correspondent.of(callers)


@pytest.fixture
def bob(callers: Callers) -> Correspondent:
    return Correspondent.of(callers)


def altered(position: int, segment: str) -> Callable[[Correspondent], str]:
    def alter(sender: Correspondent) -> str:
        parts = sender.envelope(message()).split(".")
        parts[position] = segment
        return ".".join(parts)

    return alter


def swapped(sender: Correspondent) -> str:
    one, other = sender.envelope(message()).split("."), sender.envelope(message()).split(".")
    return ".".join([*one[:3], other[3], one[4]])


def cut_tag(sender: Correspondent) -> str:
    parts = sender.envelope(message(parameters={"a": "b"})).split(".")
    return ".".join([*parts[:4], parts[4][:16]])


def in_an_envelope(sender: Correspondent) -> str:
    return sender.envelope(sender.envelope(message()).encode())


def with_header(**members: object) -> Callable[[Correspondent], str]:
    """Of a header that jwcrypto would not write: the content does not fit it, which nobody may learn."""

    def make(sender: Correspondent) -> str:
        header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": sender.key["kid"], **members}
        return ".".join([b64(json.dumps(header).encode()), *sender.envelope(message()).split(".")[1:]])

    return make


UNOPENED: dict[str, Callable[[Correspondent], str]] = {
    "RSA1_5": with_header(alg="RSA1_5"),
    "RSA-OAEP": lambda sender: sender.envelope(message(), alg="RSA-OAEP"),
    "A128GCM": lambda sender: sender.envelope(message(), enc="A128GCM"),
    "A256CBC-HS512": lambda sender: sender.envelope(message(), enc="A256CBC-HS512"),
    "dir": with_header(alg="dir"),
    "alg a list": with_header(alg=["RSA-OAEP-256"]),
    "enc a list": with_header(enc=["A256GCM"]),
    "PBES2": with_header(alg="PBES2-HS512+A256KW", p2c=2**31 - 1, p2s="AAAA"),
    "ECDH-ES": with_header(alg="ECDH-ES"),
    "zip": lambda sender: sender.envelope(message(), zip="DEF"),
    "crit": with_header(crit=["b64"]),
    "vector of 8 bytes": altered(2, b64(bytes(8))),
    "vector of 64 bytes": altered(2, b64(bytes(64))),
    "no tag": altered(4, ""),
    "tag of 12 bytes": cut_tag,
    "another key": altered(1, b64(bytes(range(256)))),
    "a short key": altered(1, b64(b"short")),
    "a key above n": altered(1, b64(b"\xff" * 256)),
    "other ciphertext": altered(3, b64(b"something else")),
    "parts of two messages": swapped,
    "junk": altered(3, "QQ?Q"),
    "six segments": lambda sender: sender.envelope(message()) + ".QQ",
    "JSON serialization": lambda _sender: '{"protected":"e30","ciphertext":"QQ"}',
    "an envelope in an envelope": in_an_envelope,
    "cty JWE": lambda sender: sender.envelope(message(), cty="JWE"),
    "an unknown kid": lambda sender: sender.envelope(message(), kid="unknown"),
    "no kid": with_header(kid=None),
    "a path as kid": with_header(kid="../../signing-key"),
    "not JSON": lambda sender: sender.envelope(b"not JSON"),
    "no object": lambda sender: sender.envelope(b"[]"),
    "duplicate names": lambda sender: sender.envelope(b'{"type":1,"type":2}'),
    "NaN": lambda sender: sender.envelope(b'{"type":NaN}'),
    "nothing": lambda _sender: "",
}


@pytest.mark.parametrize("name", UNOPENED)
def test_whatever_does_not_open_is_answered_with_one_and_the_same_body(name: str, alice: Correspondent) -> None:
    response = alice.post(UNOPENED[name](alice))
    assert response.headers["content-type"] == PROBLEM
    assert response.status_code == 400
    assert response.json() == {
        "type": "urn:task-executor:problem:invalid-message",
        "title": "Malformed request",
        "status": 400,
        "detail": "The encrypted message cannot be opened: send a compact JWE (RSA-OAEP-256, A256GCM) "
        "for a key of this service.",
        "instance": "/v1/tasks",
    }


def test_more_than_200_kb_is_too_large(alice: Correspondent) -> None:
    response = alice.post(alice.envelope(message(parameters={"note": "a" * 150_001})))
    assert response.status_code == 413
    assert "200000 bytes" in response.json()["detail"]


def test_a_large_message_is_taken(alice: Correspondent) -> None:
    assert alice.post(message(parameters={"note": "a" * 140_000})).status_code == 202


def test_it_runs_and_shows_nothing(alice: Correspondent) -> None:
    sent = message(parameters={"note": CANARY})
    envelope = alice.envelope(sent)
    response = alice.post(envelope)
    assert response.status_code == 202
    task_id = details(response.json())["task_id"]
    status = alice.caller.finished(task_id)
    assert status["body"]["status"] == "Completed"
    assert details(status)["encrypted"] is True
    assert details(status)["result"].keys() == {"sealed"}
    history = alice.caller.history(task_id)
    assert history[0]["message"] == envelope
    assert CANARY not in json.dumps([status, history, response.json()])
    assert alice.read(f"/v1/tasks/{task_id}/result") == {"note": CANARY}


WRONG_SENDERS: list[tuple[str, Json, Json]] = [
    ("none", {"sub": ...}, {}),
    ("another in the header", {"sub": "mallory"}, {}),
    ("another inside", {"sub": ...}, {"sub": "mallory"}),
    ("another in one of two places", {}, {"sub": "mallory"}),
    ("no string", {"sub": ["alice"]}, {}),
]


@pytest.mark.parametrize(
    ("members", "inside"), [row[1:] for row in WRONG_SENDERS], ids=[row[0] for row in WRONG_SENDERS]
)
def test_a_message_names_the_subject_that_sends_it(alice: Correspondent, members: Json, inside: Json) -> None:
    response = alice.post(alice.envelope({**message(), **inside}, **members))
    assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (403, "wrong-sender")


def test_the_subject_may_stand_in_the_header_beside_type_or_in_the_message_s_header(alice: Correspondent) -> None:
    subject = alice.caller.subject
    assert alice.post(alice.envelope({**message(), "sub": subject}, sub=...)).status_code == 202
    sent = message()
    sent["header"]["submitter"] = subject
    assert alice.post(alice.envelope(sent, sub=...)).status_code == 202


def test_a_captured_message_makes_no_second_task_for_anyone(alice: Correspondent, bob: Correspondent) -> None:
    envelope = alice.envelope(message())
    first = alice.post(envelope)
    assert bob.post(envelope).status_code == 403
    again = alice.post(envelope)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert details(again.json())["task_id"] == details(first.json())["task_id"]


def test_the_same_content_encrypted_anew_is_the_same_task_and_other_content_a_conflict(alice: Correspondent) -> None:
    sent = message(message_id="again")
    task_id = alice.submit(sent)
    again = alice.post(sent)
    assert (again.status_code, details(again.json())["task_id"]) == (200, task_id)
    other = alice.post(message(parameters={"other": 1}, message_id="again"))
    assert (other.status_code, other.json()["task_id"]) == (409, task_id)
    # In plain it is another message: the service does not compare what it may not keep.
    assert alice.caller.post(sent).status_code == 409


def test_what_came_in_plain_may_be_repeated_encrypted(alice: Correspondent) -> None:
    sent = message()
    task_id = alice.caller.submit(sent)
    again = alice.post(sent)
    assert (again.status_code, details(again.json())["task_id"]) == (200, task_id)


def test_an_idempotency_key_goes_with_it(alice: Correspondent) -> None:
    first = alice.post(message(parameters={"a": 1}), **{"Idempotency-Key": "k-1"})
    again = alice.post(message(parameters={"a": 1}), **{"Idempotency-Key": "k-1"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert alice.post(message(parameters={"a": 2}), **{"Idempotency-Key": "k-1"}).status_code == 409


def test_a_dry_run_keeps_nothing(alice: Correspondent) -> None:
    sent = message()
    response = alice.post(sent, "?validate_only=true")
    assert (response.status_code, response.json()["valid"], response.json()["replay_of"]) == (200, True, None)
    task_id = alice.submit(sent)
    assert alice.post(sent, "?validate_only=true").json()["replay_of"] == task_id
    other = message(parameters={"b": 2}, message_id=sent["header"]["message_id"])
    assert alice.post(other, "?validate_only=true").status_code == 409


def test_a_rejected_message_tells_nothing_of_its_content(alice: Correspondent) -> None:
    sent = message("sleep", {"seconds": CANARY, CANARY: 1}, labels={CANARY + "!": "a"}, timeout_s=-1, **{CANARY: 2})
    response = alice.post(sent)
    assert response.status_code == 422
    assert CANARY not in response.text
    specification = "/body/task_specification"
    assert set(pointers(response)) == {
        specification,
        f"{specification}/parameters",
        f"{specification}/labels",
        f"{specification}/timeout_s",
    }
    task_id = response.json()["task_id"]
    status = alice.caller.get(task_id).text
    history = alice.caller.get(task_id, "/messages").text
    assert CANARY not in status + history
    error = details(alice.read(f"/v1/tasks/{task_id}"))["error"]
    assert f"{specification}/parameters/seconds" in [each["pointer"] for each in error["errors"]]


def test_messages_of_a_batch_may_be_encrypted(alice: Correspondent, bob: Correspondent) -> None:
    good = alice.envelope(message(parameters={"note": CANARY}))
    messages: list[Any] = [
        good,
        message(),
        altered(4, b64(bytes(16)))(alice),
        bob.envelope(message()),
        "no envelope",
        alice.envelope(message(parameters={"note": "a" * 150_001})),
    ]
    outcomes = alice.caller.http.post("/v1/tasks/batch", json={"messages": messages}).json()["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == [202, 202, 400, 403, 422, 413]
    assert [details(outcomes[n]["task"])["encrypted"] for n in (0, 1)] == [True, False]
    assert CANARY not in json.dumps(outcomes)


def failed(alice: Correspondent) -> str:
    task_id = alice.submit(message("sleep", {"seconds": 600}, labels={"note": "kept"}))
    alice.caller.once(task_id, {"Executing"})
    alice.caller.cancel(task_id)
    alice.caller.finished(task_id)
    return task_id


def test_a_retry_of_an_encrypted_task_is_encrypted(alice: Correspondent) -> None:
    task_id = failed(alice)
    path = f"/v1/tasks/{task_id}/retry"
    overrides = alice.envelope({"parameters": {"seconds": 0}, "message_id": "once-more"})
    response = alice.caller.http.post(path, content=overrides, headers=JOSE)
    assert response.status_code == 202, response.text
    new = details(response.json())
    assert (new["encrypted"], new["retry_of"], new["labels"]) == (True, task_id, {"note": "kept"})
    assert alice.caller.http.post(path, content=overrides, headers=JOSE).status_code == 200
    other = alice.envelope({"parameters": {"seconds": 1}, "message_id": "once-more"})
    assert alice.caller.http.post(path, content=other, headers=JOSE).status_code == 409
    assert alice.caller.finished(new["task_id"])["body"]["status"] == "Completed"
    first = alice.caller.history(new["task_id"])[0]
    assert first["message"].keys() == {"sealed"}
    message_sent = alice.read(f"/v1/tasks/{new['task_id']}/messages")["items"][0]["message"]
    assert message_sent["body"]["task_specification"]["parameters"] == {"seconds": 0}


def test_an_admin_sees_that_there_is_content_and_not_what(alice: Correspondent, callers: Callers) -> None:
    task_id = alice.submit(message(parameters={"note": CANARY}))
    alice.caller.finished(task_id)
    admin = Correspondent.of(callers, Role.ADMIN)
    assert details(admin.read(f"/v1/tasks/{task_id}"))["result"].keys() == {"sealed"}
    for query in ("", "?plain=true"):
        assert admin.caller.http.get(f"/v1/tasks/{task_id}/result{query}").status_code == 406
    assert CANARY not in json.dumps(admin.read(f"/v1/tasks/{task_id}/messages"))


def test_the_published_keys_are_public_and_may_be_kept_for_a_while(alice: Correspondent) -> None:
    response = alice.caller.http.get("/.well-known/jwks.json")
    assert response.headers["cache-control"] == "public, max-age=300"
    assert response.headers["content-type"] == "application/json"
    keys = response.json()["keys"]
    assert [(key["use"], key["alg"]) for key in keys] == [("enc", "RSA-OAEP-256"), ("sig", "RS256")]
    assert all(key.keys() == {"kty", "use", "alg", "kid", "n", "e"} for key in keys)


def test_other_doors_take_no_envelope(alice: Correspondent) -> None:
    task_id = alice.submit(message())
    response = alice.caller.http.post(
        f"/v1/tasks/{task_id}/acknowledgements", content=alice.envelope({"sequence": 1}), headers=JOSE
    )
    assert response.status_code == 415


def test_a_stranger_s_key_of_the_same_name_does_not_open(alice: Correspondent) -> None:
    stranger = {**alice.key, "n": number(2**2047 + 12345)}
    assert alice.post(encrypted(message(), stranger, sub=alice.caller.subject)).status_code == 400
