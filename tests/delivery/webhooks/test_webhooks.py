"""Webhooks from outside: what a receiver gets, of a real service."""

import asyncio
import json
from collections.abc import Callable

import asyncpg
import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.protocol.roles import Role
from app.storage.database import driver_dsn
from tests.api.caller import Caller, Callers, Json, details, message, pointers
from tests.delivery.webhooks.receiving import SECRET, acknowledge, delivery, recorded, sequences
from tests.support.service import Service
from tests.support.sink import Behaviour, Sink, answers, drips, drips_its_body, floods, floods_headers, hangs, resets
from tests.support.waiting import wait_until

ALL = [2, 5, 8]
"""The messages to the submitter in the history of a task that does nothing but run."""


def test_each_message_arrives_once_in_order_signed_and_is_acknowledged(alice: Caller, sink: Sink) -> None:
    url = sink.tell("/hook", answers(200))
    task_id = alice.submit(message(callback={"url": url, "secret": SECRET}))
    wait_until(lambda: recorded(alice, task_id) == [8], "acknowledged")
    received = sink.at("/hook")
    items = {item["sequence"]: item for item in alice.history(task_id)}
    assert sequences(received) == ALL
    for each in received:
        payload = Webhook(SECRET).verify(each.body, each.headers)
        sequence = payload["body"]["details"]["sequence"]
        assert payload == items[sequence]["message"]
        assert each.headers["webhook-id"] == f"{task_id}.{sequence}" == payload["header"]["message_id"]
        assert each.headers["content-type"] == "application/json"
        assert each.headers["task-executor-message"] == items[sequence]["name"]
    assert details(alice.get(task_id).json())["acknowledged"] == 8
    standing = delivery(alice, task_id, "delivered")
    assert (standing["attempts"], standing["failures"], standing["delivered_sequence"]) == (3, 0, 8)
    assert [(item["sequence"], item["outcome"]) for item in standing["items"]] == [(8, "2xx"), (5, "2xx"), (2, "2xx")]


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (answers(500), "5xx"),
        (answers(404), "4xx"),
        (answers(301, "Location: http://127.0.0.1:1/"), "3xx"),
        (resets, "broken"),
        (floods_headers, "broken"),
    ],
)
def test_what_was_not_taken_is_sent_again_with_its_id_before_anything_else(
    alice: Caller, sink: Sink, behaviour: Behaviour, outcome: str
) -> None:
    url = sink.tell("/hook", behaviour, behaviour, answers(204))
    task_id = alice.submit(message(callback={"url": url, "secret": SECRET}))
    log = delivery(alice, task_id, "delivered")["items"]
    received = sink.at("/hook")
    assert sequences(received) == [2, 2, 2, 5, 8]
    assert len({each.headers["webhook-id"] for each in received[:3]}) == 1
    assert [item["outcome"] for item in reversed(log)] == [outcome, outcome, "2xx", "2xx", "2xx"]
    assert [item["next_attempt_at"] is None for item in reversed(log)] == [False, False, True, True, True]


@pytest.mark.parametrize("behaviour", [floods, drips_its_body])
def test_the_status_is_all_that_is_waited_for(alice: Caller, sink: Sink, behaviour: Behaviour) -> None:
    task_id = alice.submit(message(callback={"url": sink.tell("/hook", behaviour)}))
    delivery(alice, task_id, "delivered")
    assert sequences(sink.at("/hook")) == ALL


def test_whoever_sends_a_host_gets_eight_at_once(callers: Callers, alice: Caller, sink: Sink, elsewhere: Sink) -> None:
    url = sink.tell("/hook", hangs)
    for _ in range(3):
        submitter = callers.make(Role.SUBMITTER)
        for _ in range(4):
            submitter.submit(message(callback={"url": url}))
    wait_until(lambda: len(sink.at("/hook")) == 8, "the places of the host are taken")
    alice.submit(message(callback={"url": url}))
    alice.submit(message(callback={"url": elsewhere.tell("/hook", answers(200))}))
    wait_until(lambda: elsewhere.at("/hook"), "the sender has looked since, and goes on at other hosts")
    assert len(sink.at("/hook")) == 8


def test_headers_that_never_end_are_a_timeout(alice: Caller, sink: Sink) -> None:
    task_id = alice.submit(message(callback={"url": sink.tell("/hook", drips, answers(200))}))
    log = delivery(alice, task_id, "delivered", within_s=40)["items"]
    assert log[-1]["outcome"] == "timeout"
    assert 9_000 < log[-1]["duration_ms"] < 20_000
    assert sequences(sink.at("/hook")) == [2, *ALL]


def test_410_ends_it_for_good_until_its_submitter_begins_anew(alice: Caller, sink: Sink) -> None:
    url = sink.tell("/hook", answers(200), answers(410))
    task_id = alice.submit(message(callback={"url": url}))
    standing = delivery(alice, task_id, "gone")
    alice.finished(task_id)
    assert (standing["delivered_sequence"], standing["next_attempt_at"]) == (2, None)
    assert sequences(sink.at("/hook")) == [2, 5]
    assert recorded(alice, task_id) == []
    sink.tell("/hook", answers(200))
    response = alice.http.post(f"/v1/tasks/{task_id}/deliveries/redeliver", json={"sequence": 5})
    assert (response.status_code, response.json()["state"]) == (202, "active")
    delivery(alice, task_id, "delivered")
    assert sequences(sink.at("/hook")) == [2, 5, 5, 8]
    assert recorded(alice, task_id) == [8]


def test_everything_is_sent_again_although_it_was_acknowledged(alice: Caller, sink: Sink) -> None:
    task_id = alice.submit(message(callback={"url": sink.tell("/hook", answers(200))}))
    delivery(alice, task_id, "delivered")
    assert alice.http.post(f"/v1/tasks/{task_id}/deliveries/redeliver").status_code == 202
    wait_until(lambda: len(sink.at("/hook")) == 6, "sent again")
    delivery(alice, task_id, "delivered")
    assert sequences(sink.at("/hook")) == ALL + ALL
    assert recorded(alice, task_id) == [8]


def test_retry_after_is_heeded(alice: Caller, sink: Sink) -> None:
    url = sink.tell("/hook", answers(503, "Retry-After: 2"), answers(200))
    delivery(alice, alice.submit(message(callback={"url": url})), "delivered")
    first, second = sink.at("/hook")[:2]
    assert second.at - first.at >= 2


def test_acknowledged_by_request_each_message_comes_until_it_is(alice: Caller, sink: Sink) -> None:
    url = sink.tell("/hook", answers(200))
    task_id = alice.submit(message(callback={"url": url, "acknowledge": "request"}))
    wait_until(lambda: len(sink.at("/hook")) >= 3, "sent again")
    assert set(sequences(sink.at("/hook"))) == {2}
    alice.finished(task_id)
    assert recorded(alice, task_id) == []
    acknowledge(alice, task_id, 5)
    wait_until(lambda: 8 in sequences(sink.at("/hook")), "the next that is not acknowledged")
    assert 5 not in sequences(sink.at("/hook"))
    acknowledge(alice, task_id, 8)
    assert delivery(alice, task_id, "delivered")["delivered_sequence"] <= 8
    assert recorded(alice, task_id) == [5, 8]


def test_only_the_messages_that_are_wanted(alice: Caller, sink: Sink) -> None:
    url = sink.tell("/hook", answers(200))
    task_id = alice.submit(message(callback={"url": url, "events": ["TaskCompleted", "TaskFailed"]}))
    assert delivery(alice, task_id, "delivered")["events"] == ["TaskCompleted", "TaskFailed"]
    assert sequences(sink.at("/hook")) == [8]
    early = alice.submit(message(callback={"url": url + "2", "events": ["TaskAccepted"]}))
    delivery(alice, early, "delivered")
    assert sequences(sink.at("/hook2")) == [2]
    # Nobody has said that it heard of the end.
    assert recorded(alice, early) == [2]


def test_progress_comes_as_it_happens(alice: Caller, sink: Sink) -> None:
    task_id = alice.submit(message("sleep", {"seconds": 1}, callback={"url": sink.tell("/hook", answers(200))}))
    alice.finished(task_id)
    delivery(alice, task_id, "delivered")
    told = [item["sequence"] for item in alice.history(task_id) if item["recipient"] == "submitter"]
    assert len(told) > 3
    assert sequences(sink.at("/hook")) == told


def test_the_submitter_s_secret_signs_and_two_do_while_it_changes(alice: Caller, sink: Sink) -> None:
    url = sink.tell("/hook", answers(200))
    delivery(alice, alice.submit(message(callback={"url": url})), "delivered")
    first = alice.http.post("/v1/webhook-secrets").json()
    # What was signed before anyone asked was signed with this one.
    Webhook(first["secret"]).verify(sink.at("/hook")[0].body, sink.at("/hook")[0].headers)
    second = alice.http.post("/v1/webhook-secrets").json()
    assert second["secret"] != first["secret"]
    delivery(alice, alice.submit(message(callback={"url": url})), "delivered")
    changed = sink.at("/hook")[-1]
    assert len(changed.headers["webhook-signature"].split(" ")) == 2
    for secret in (first["secret"], second["secret"]):
        Webhook(secret).verify(changed.body, changed.headers)
    listed = alice.http.get("/v1/webhook-secrets").json()["items"]
    assert [item["secret_id"] for item in listed] == [second["secret_id"], first["secret_id"]]
    assert "whsec_" not in json.dumps(listed)
    assert alice.http.delete(f"/v1/webhook-secrets/{first['secret_id']}").status_code == 204
    delivery(alice, alice.submit(message(callback={"url": url})), "delivered")
    with pytest.raises(WebhookVerificationError):
        Webhook(first["secret"]).verify(sink.at("/hook")[-1].body, sink.at("/hook")[-1].headers)
    assert alice.http.post("/v1/webhook-secrets", json={"overlap_s": 0}).status_code == 201
    assert len(alice.http.get("/v1/webhook-secrets").json()["items"]) == 1


def test_a_service_that_runs_takes_up_a_new_sealing_key(start_quick: Callable[..., Service], sink: Sink) -> None:
    service = start_quick()
    callers = Callers(service)
    alice = callers.make(Role.SUBMITTER)
    secret = alice.http.post("/v1/webhook-secrets").json()["secret"]
    rotated = service.command("keys", "rotate", "--sealing", "--void")
    assert (rotated.returncode, "1 were sealed anew" in rotated.stdout) == (0, True), rotated.stderr
    alice.submit(message(callback={"url": sink.tell("/hook", answers(200))}))
    wait_until(lambda: sink.at("/hook"), "a webhook", 30)
    Webhook(secret).verify(sink.at("/hook")[0].body, sink.at("/hook")[0].headers)
    callers.close()


def test_a_secret_is_nowhere_but_in_what_seals_it(
    start_quick: Callable[..., Service], sink: Sink, database_url: str
) -> None:
    service = start_quick()
    callers = Callers(service)
    alice, admin = callers.make(Role.SUBMITTER), callers.make(Role.ADMIN)
    url = sink.tell("/hook?token=in-the-url", answers(500, "X-Inner: inner-answer", body=b"inner-answer"), answers(200))
    sent = message(callback={"url": url, "secret": SECRET})
    task_id = alice.submit(sent)
    delivery(alice, task_id, "delivered")
    wrong = message(priority="high", callback={"url": url, "secret": SECRET})
    refused = alice.post(wrong)
    assert refused.status_code == 422
    kept = json.dumps(alice.history(task_id)) + alice.get(task_id).text + refused.text
    kept += alice.http.get(f"/v1/tasks/{refused.json()['task_id']}/messages").text
    kept += alice.get(task_id, "/deliveries").text + admin.http.get("/v1/admin/webhooks").text + service.log
    kept += everything_in(database_url)
    assert SECRET[6:20] not in kept
    assert "in-the-url" not in service.log
    # Of what the receiver answered nothing is kept but the class of its status.
    assert "inner-answer" not in kept
    assert alice.history(task_id)[0]["message"]["body"]["task_specification"]["callback"] == {"url": url}
    # The same message is the same task; with another secret it is another message.
    assert alice.post(sent).status_code == 200
    sent["body"]["task_specification"]["callback"]["secret"] = "whsec_" + "B" * 32
    assert alice.post(sent).status_code == 409
    callers.close()


def everything_in(database_url: str) -> str:
    """The rows of all tables, as text, with binary columns as they are."""

    async def read() -> str:
        connection = await asyncpg.connect(driver_dsn(database_url))
        try:
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            rows = [row for (name,) in tables for row in await connection.fetch(f'SELECT * FROM "{name}"')]
        finally:
            await connection.close()
        return "".join(str(tuple(row)) for row in rows)

    return asyncio.run(read())


def test_a_retried_task_signs_with_the_secret_of_the_first(alice: Caller, sink: Sink) -> None:
    url = sink.tell("/hook", answers(200))
    task_id = alice.submit(message("sleep", {"seconds": 600}, callback={"url": url, "secret": SECRET}))
    alice.cancel(task_id)
    alice.finished(task_id)
    again = alice.http.post(f"/v1/tasks/{task_id}/retry", json={"parameters": {"seconds": 0}}).json()
    assert delivery(alice, details(again)["task_id"], "delivered")["secret"] == "own"
    last = sink.at("/hook")[-1]
    assert json.loads(last.body)["body"]["details"]["task_id"] == details(again)["task_id"]
    Webhook(SECRET).verify(last.body, last.headers)


def test_what_nobody_takes_is_given_up_seen_and_taken_up_again(start_quick: Callable[..., Service], sink: Sink) -> None:
    callers = Callers(start_quick(webhook_give_up_s="0.5"))
    alice, admin = callers.make(Role.SUBMITTER), callers.make(Role.ADMIN)
    task_id = alice.submit(message(callback={"url": sink.tell("/hook", answers(500))}))
    standing = delivery(alice, task_id, "dead")
    assert (standing["delivered_sequence"], standing["last_outcome"]) == (0, "5xx")
    listed = admin.http.get("/v1/admin/webhooks", params={"state": "dead"}).json()["items"]
    assert [item["task_id"] for item in listed] == [task_id]
    assert alice.http.get("/v1/admin/webhooks").status_code == 403
    sink.tell("/hook", answers(200))
    before = len(sink.at("/hook"))
    assert admin.http.post("/v1/admin/webhooks/redeliver", json={"state": "dead"}).json() == {"redelivered": 1}
    delivery(alice, task_id, "delivered")
    assert sequences(sink.at("/hook"))[before:] == ALL
    assert admin.http.get("/v1/admin/webhooks").json() == {"items": [], "next_cursor": None}
    callers.close()


REFUSED: list[tuple[Json, str]] = [
    ({"url": "http://10.0.0.1/"}, "/url"),
    ({"url": "http://169.254.169.254/latest/"}, "/url"),
    ({"url": "ftp://127.0.0.1/"}, "/url"),
    ({"url": "http://127.0.0.1:22/"}, "/url"),
    ({"url": "http://u:p@127.0.0.1/"}, "/url"),
    ({"url": "http://0x7f.1/"}, "/url"),
    ({}, "/url"),
    ({"url": "http://127.0.0.1:9000/", "secret": "short"}, "/secret"),
    ({"url": "http://127.0.0.1:9000/", "secret": "whsec_c2hvcnQ="}, "/secret"),
    ({"url": "http://127.0.0.1:9000/", "events": []}, "/events"),
    ({"url": "http://127.0.0.1:9000/", "events": ["TaskRejected"]}, "/events/0"),
    ({"url": "http://127.0.0.1:9000/", "acknowledge": "never"}, "/acknowledge"),
    ({"url": "http://127.0.0.1:9000/", "headers": {}}, "/headers"),
]


def test_what_is_no_callback(alice: Caller, sink: Sink) -> None:
    for callback, member in REFUSED:
        response = alice.post(message(callback=callback))
        assert response.status_code == 422, callback
        assert pointers(response) == [f"/body/task_specification/callback{member}"], callback
    # Neither a rejected message nor a question calls anybody.
    url = sink.tell("/hook", answers(200))
    assert alice.post(message("no-such-kind", callback={"url": url})).status_code == 422
    assert alice.post(message(callback={"url": url}), "?validate_only=true").json()["valid"] is True
    delivery(alice, alice.submit(message(callback={"url": sink.tell("/other", answers(200))})), "delivered")
    assert sink.at("/hook") == []


def test_who_may_look_and_send_again(callers: Callers, sink: Sink) -> None:
    alice, bob, admin = callers.make(Role.SUBMITTER), callers.make(Role.SUBMITTER), callers.make(Role.ADMIN)
    task_id = alice.submit(message(callback={"url": sink.tell("/hook", answers(200))}))
    delivery(alice, task_id, "delivered")
    path = f"/v1/tasks/{task_id}/deliveries"
    assert bob.http.get(path).status_code == bob.http.post(f"{path}/redeliver").status_code == 404
    assert admin.http.get(path).json()["state"] == "delivered"
    assert_problem(alice.http.post(f"{path}/redeliver", json={"sequence": 99}), 409, "not-yet-sent")
    assert_problem(alice.http.post(f"{path}/redeliver", json={"from": 1}), 422, "invalid-request")
    plain = alice.submit(message())
    nothing = alice.get(plain, "/deliveries").json()
    assert (nothing["state"], nothing["items"]) == (None, [])
    assert_problem(alice.http.post(f"/v1/tasks/{plain}/deliveries/redeliver"), 409, "no-callback")
    secret = alice.http.post("/v1/webhook-secrets").json()
    assert bob.http.delete(f"/v1/webhook-secrets/{secret['secret_id']}").status_code == 404
    assert bob.http.get("/v1/webhook-secrets").json()["items"] == []


def assert_problem(response: httpx.Response, status: int, kind: str) -> None:
    assert (response.status_code, response.json()["type"]) == (status, f"urn:task-executor:problem:{kind}")
