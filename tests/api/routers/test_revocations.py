"""Revocations over the wire: in force for requests, waits and streams, here and at another node."""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread

import httpx
import pytest

from tests.api.caller import Caller, Callers, Json, at, pointers, sleeping
from tests.support.service import Service
from tests.support.waiting import wait_until

PATH = "/v1/admin/revocations"


def revoke(admin: Caller, **wanted: object) -> Json:
    response = admin.http.post(PATH, json=wanted)
    assert response.status_code == 201, response.text
    entry: Json = response.json()
    assert response.headers["location"] == f"{PATH}/{entry['revocation_id']}"
    return entry


def token_id_of(caller: Caller) -> str:
    payload = caller.token.split(".")[1]
    return str(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])


def test_all_tokens_of_a_subject(callers: Callers, admin: Caller, alice: Caller, bob: Caller) -> None:
    assert alice.http.get("/v1/tasks").status_code == 200
    entry = revoke(admin, subject=alice.subject)
    refused = alice.http.get("/v1/tasks")
    assert refused.status_code == 401
    assert refused.content == httpx.get(f"{alice.http.base_url}/v1/tasks").content, "the same body as without a token"
    assert callers.make(subject=alice.subject).http.get("/v1/tasks").status_code == 401, "one made later"
    assert bob.http.get("/v1/tasks").status_code == 200
    assert admin.http.delete(f"{PATH}/{entry['revocation_id']}").status_code == 204
    assert alice.http.get("/v1/tasks").status_code == 200
    assert admin.http.delete(f"{PATH}/{entry['revocation_id']}").status_code == 404


def test_one_token(callers: Callers, admin: Caller, alice: Caller) -> None:
    entry = revoke(admin, token_id=token_id_of(alice))
    assert alice.http.get("/v1/tasks").status_code == 401
    other = next(role for role in [callers.make(subject=alice.subject)])
    assert other.http.get("/v1/tasks").status_code == 403, "another token of the same subject counts"
    assert entry["token_id"] == token_id_of(alice)
    assert entry["revoked_by"] == admin.subject


def test_an_entry_ends_when_no_token_of_today_can_be_valid(admin: Caller) -> None:
    until = datetime.fromisoformat(revoke(admin, subject="nobody-at-all")["until"])
    expected = datetime.now(UTC) + timedelta(seconds=86_400 + 30)
    assert abs((until - expected).total_seconds()) < 120
    assert revoke(admin, subject="nobody-at-all", until="2099-01-01T01:00:00+01:00")["until"] == (
        "2099-01-01T00:00:00.000000Z"
    )


def test_the_list(admin: Caller) -> None:
    made = [revoke(admin, subject=f"listed-{number}-{admin.subject}") for number in range(3)]
    items, cursor = [], ""
    while cursor is not None:
        page = admin.http.get(PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        items += page["items"]
        cursor = page["next_cursor"]
    assert {entry["revocation_id"] for entry in made} <= {entry["revocation_id"] for entry in items}
    assert len({entry["revocation_id"] for entry in items}) == len(items)
    assert all(entry in items for entry in made)


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ({}, ""),
        ({"subject": "a", "token_id": "b"}, ""),
        ({"subject": ""}, "/subject"),
        ({"subject": " a"}, "/subject"),
        ({"subject": "é"}, "/subject"),
        ({"subject": "a" * 256}, "/subject"),
        ({"token_id": 7}, "/token_id"),
        ({"subject": "a", "until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"subject": "a", "until": "9999-12-31T23:59:59Z"}, "/until"),
        ({"subject": "a", "until": "tomorrow"}, "/until"),
        ({"subject": "a", "role": "admin"}, "/role"),
        ([], ""),
    ],
)
def test_what_cannot_be_revoked(admin: Caller, wanted: object, where: str) -> None:
    response = admin.http.post(PATH, json=wanted)
    assert (response.status_code, pointers(response)) == (422, [where])


@pytest.mark.parametrize("query", ["?cursor=x", "?cursor=' OR 1=1--"])
def test_a_forged_cursor(admin: Caller, query: str) -> None:
    assert admin.http.get(PATH + query).status_code == 400


def test_what_waits_and_what_streams_ends_too(admin: Caller, alice: Caller, licence_holder: str) -> None:
    task_id = alice.submit(sleeping())
    etag = alice.get(task_id).headers["etag"]
    ended: dict[str, object] = {}

    def wait() -> None:
        # The answer to what was asked before the revocation: an early word of the task, or the refusal.
        response = alice.get(task_id, Prefer="wait=60", **{"If-None-Match": etag.split("-")[0] + '"'})
        ended["wait"] = response.status_code

    def stream() -> None:
        with httpx.Client(base_url=alice.http.base_url, timeout=60) as client:
            headers = {"Authorization": f"Bearer {alice.token}"}
            with client.stream("GET", f"/v1/tasks/{task_id}/events", headers=headers) as response:
                ended["open"] = True
                ended["stream"] = "".join(response.iter_text())

    threads = [Thread(target=wait), Thread(target=stream)]
    for thread in threads:
        thread.start()
    wait_until(lambda: "open" in ended, "the stream is open", 30)
    begun = time.monotonic()
    revoke(admin, subject=alice.subject, until=at(minutes=10))
    for thread in threads:
        thread.join(30)
    assert time.monotonic() - begun < 55, "long before the wait or the task is over"
    assert str(ended["stream"]).endswith(": the token has been revoked\n\n")
    assert ended["wait"] == 401
    admin.cancel(task_id)


def test_all_nodes_know_within_seconds(start_service: Callable[..., Service]) -> None:
    one, two = start_service(), start_service()
    with one.blocking_client("root", "admin") as admin, two.blocking_client("mallory") as mallory:
        assert mallory.get("/v1/tasks").status_code == 200
        entry = admin.post(PATH, json={"subject": "mallory"}).json()
        wait_until(lambda: mallory.get("/v1/tasks").status_code == 401, "refused at the other node", 20)
        admin.delete(f"{PATH}/{entry['revocation_id']}")
        wait_until(lambda: mallory.get("/v1/tasks").status_code == 200, "accepted again", 20)
        admin.post(PATH, json={"subject": "mallory"})
        two.stop()
        two.start()
        assert mallory.get("/v1/tasks").status_code == 401, "known from the first answer on"
