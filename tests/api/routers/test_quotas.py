"""Quotas from outside: what admins set, what submitters see, who is refused and who waits."""

import asyncio
import itertools
from typing import Any

import httpx
import pytest

from tests.api.caller import PROBLEM, Caller, Json, details, message, pointers, sleeping

PROCESSING = ("data_processing", {"input_source": "data_stream_1", "processing_steps": ["validate"]})


def put(admin: Caller, submitter: str, **quota: Any) -> Json:
    """Sets a submitter's quota."""
    response = admin.http.put(f"/v1/admin/quotas/{submitter}", json=quota)
    assert response.status_code == 200, response.text
    found: Json = response.json()
    return found


def used(caller: Caller) -> Json:
    """What the caller uses, as it is told."""
    found: Json = caller.http.get("/v1/quota").json()["used"]
    return found


def test_a_submitter_sees_limits_use_and_reset(alice: Caller) -> None:
    task_id = alice.submit(message(*PROCESSING))
    alice.finished(task_id)
    answer = alice.http.get("/v1/quota")
    assert answer.status_code == 200
    found = answer.json()
    assert found["submitter"] == alice.subject
    assert found["limits"] == dict.fromkeys(("queued", "running", "held", "stored_bytes", "weight")) | {
        "rate": "6000/minute"
    }
    assert found["used"]["queued"] == found["used"]["running"] == 0
    assert found["used"]["held"] == {}
    assert found["used"]["stored_bytes"] > 100
    assert found["rate"]["limit"] == 6000
    assert found["rate"]["remaining"] > 5000
    assert found["consumed"]["tasks"] == 1
    assert found["consumed"]["cpu_s"] > 0
    assert found["consumed"]["peak_memory_mb"] > 1


def test_an_admin_sets_reads_lists_and_removes(admin: Caller, alice: Caller) -> None:
    path = f"/v1/admin/quotas/{alice.subject}"
    before = admin.http.get(path).json()
    assert (before["set_by"], before["quota"]["queued"]) == (None, None)
    quota = {"queued": 5, "running": "unlimited", "held": {"cpu": 1.5, "custom": {"licence": 0}}, "rate": "10/second"}
    set_now = put(admin, alice.subject, **quota)
    assert {name: set_now["quota"][name] for name in quota} == quota
    assert set_now["quota"]["stored_bytes"] is None
    assert set_now["in_force"]["running"] is None
    assert set_now["set_by"] == admin.subject
    assert admin.http.get(path).json() == set_now
    assert alice.http.get("/v1/quota").headers["ratelimit-policy"] == '"calls";q=10;w=1'
    listed = admin.http.get("/v1/admin/quotas").json()
    assert [each["quota"]["queued"] for each in listed["items"] if each["submitter"] == alice.subject] == [5]
    again = put(admin, alice.subject, weight=2)
    assert (again["quota"]["queued"], again["quota"]["weight"]) == (None, 2)
    assert admin.http.delete(path).json()["set_by"] is None
    assert admin.http.delete(path).status_code == 404
    assert alice.http.get("/v1/quota").headers["ratelimit-policy"] == '"calls";q=6000;w=60'


@pytest.mark.parametrize(
    ("quota", "pointer"),
    [
        ({"queued": -1}, "/queued"),
        ({"queued": 1.5}, "/queued"),
        ({"queued": 10**30}, "/queued"),
        ({"queued": True}, "/queued"),
        ({"running": "many"}, "/running"),
        ({"stored_bytes": -5}, "/stored_bytes"),
        ({"held": {"cpu": -1}}, "/held/cpu"),
        ({"held": {"cpu": 1e300}}, "/held/cpu"),
        ({"held": {"memory_mb": 0.5}}, "/held/memory_mb"),
        ({"held": {"disk": 1}}, "/held/disk"),
        ({"rate": "often"}, "/rate"),
        ({"rate": 5}, "/rate"),
        ({"weight": 0}, "/weight"),
        ({"weight": 1e9}, "/weight"),
        ({"priority": 1}, "/priority"),
    ],
)
def test_what_is_no_quota_is_refused_by_name(admin: Caller, alice: Caller, quota: Json, pointer: str) -> None:
    response = admin.http.put(f"/v1/admin/quotas/{alice.subject}", json=quota)
    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM
    assert pointers(response) == [pointer]


def test_beyond_the_quota_a_submission_is_refused_with_the_policy(
    admin: Caller, alice: Caller, bob: Caller, licence_holder: str
) -> None:
    put(admin, alice.subject, queued=2)
    first = sleeping()
    waiting = [alice.submit(first), alice.submit(sleeping())]
    refused = alice.post(sleeping())
    assert refused.status_code == 429
    problem = refused.json()
    assert problem["type"] == "urn:task-executor:problem:quota-exceeded"
    assert (problem["violated-policies"], problem["limit"], problem["used"]) == (["queued"], 2, 2)
    assert int(refused.headers["retry-after"]) > 0
    # The same message again is no new task; neither is one that is only checked.
    assert alice.post(first).status_code == 200
    assert alice.post(sleeping(), "?validate_only=true").json()["quota"] == {
        "accepted": False,
        "violated-policies": ["queued"],
    }
    batch = alice.http.post("/v1/tasks/batch", json={"messages": [sleeping(), first, message("none")]})
    assert [outcome["status"] for outcome in batch.json()["outcomes"]] == [429, 200, 422]
    waiting.append(bob.submit(sleeping()))
    assert bob.post(sleeping(), "?validate_only=true").json()["quota"]["accepted"] is True
    alice.cancel(waiting[0])
    waiting.append(alice.submit(sleeping()))
    assert used(alice)["queued"] == 2
    for task_id in waiting[1:]:
        admin.cancel(task_id)


def test_stored_bytes_are_limited_also_for_messages_that_are_turned_down(admin: Caller, alice: Caller) -> None:
    alice.finished(alice.submit(message()))
    stored = used(alice)["stored_bytes"]
    put(admin, alice.subject, stored_bytes=stored + 10)
    refused = alice.post(message())
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["stored_bytes"])
    turned_down = alice.post(message("none"))
    assert turned_down.status_code == 422
    assert "task_id" not in turned_down.json()
    assert used(alice)["stored_bytes"] == stored


async def test_fifty_at_once_at_the_last_place_let_one_in(admin: Caller, alice: Caller, licence_holder: str) -> None:
    put(admin, alice.subject, queued=3)
    waiting = [alice.submit(sleeping()) for _ in range(2)]
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with httpx.AsyncClient(base_url=alice.http.base_url, headers=headers, timeout=60) as client:
        answers = await asyncio.gather(*(client.post("/v1/tasks", json=sleeping()) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [202] + [429] * 49
    waiting += [details(answer.json())["task_id"] for answer in answers if answer.status_code == 202]
    assert used(alice)["queued"] == 3
    for task_id in waiting:
        admin.cancel(task_id)


def test_who_runs_as_much_as_it_may_waits_and_says_so_while_others_pass(
    admin: Caller, alice: Caller, bob: Caller
) -> None:
    put(admin, alice.subject, running=1)
    running = alice.submit(message("sleep", {"seconds": 600}))
    alice.once(running, {"Executing"})
    held_back = [alice.submit(message("sleep", {"seconds": 0})) for _ in range(3)]
    while details(alice.get(held_back[0], Prefer="wait=1").json())["waiting"]["reason"] != "quota":
        pass
    waiting = details(alice.get(held_back[0]).json())["waiting"]
    assert (waiting["policy"], waiting["limit"], waiting["used"]) == ("running", 1, 1)
    passed = bob.submit(message("sleep", {"seconds": 0}))
    assert bob.finished(passed)["body"]["status"] == "Completed"
    assert used(alice)["running"] == 1
    assert used(alice)["queued"] == 3
    alice.cancel(running)
    times = []
    for task_id in held_back:
        found = details(alice.finished(task_id))
        assert found["attempt"] == 1
        times.append((found["started_at"], found["finished_at"]))
    times.sort()
    assert all(finished <= started for (_, finished), (started, _) in itertools.pairwise(times))
    assert used(alice)["running"] == 0


def test_who_holds_as_much_as_it_may_waits_until_it_holds_less(admin: Caller, alice: Caller) -> None:
    put(admin, alice.subject, held={"cpu": 1})
    holder = alice.submit(message("sleep", {"seconds": 600}, resources={"cpu": 0.75}))
    alice.once(holder, {"Executing"})
    held_back = alice.submit(message("sleep", {"seconds": 0}, resources={"cpu": 0.5}))
    while details(alice.get(held_back, Prefer="wait=1").json())["waiting"]["reason"] != "quota":
        pass
    waiting = details(alice.get(held_back).json())["waiting"]
    assert (waiting["policy"], waiting["missing"]) == ("held", {"cpu": 0.25})
    assert used(alice)["held"]["cpu"] == 0.75
    admin.http.delete(f"/v1/admin/quotas/{alice.subject}")
    assert alice.finished(held_back)["body"]["status"] == "Completed"
    alice.cancel(holder)
    alice.finished(holder)
    assert used(alice)["held"] == {}


def test_many_that_are_held_back_stand_in_nobodys_way(admin: Caller, alice: Caller, bob: Caller) -> None:
    put(admin, alice.subject, running=1)
    running = alice.submit(message("sleep", {"seconds": 600}))
    alice.once(running, {"Executing"})
    messages = [message("sleep", {"seconds": 600}) for _ in range(300)]
    batch = alice.http.post("/v1/tasks/batch", json={"messages": messages})
    assert {outcome["status"] for outcome in batch.json()["outcomes"]} == {202}
    for _ in range(5):
        bob.finished(bob.submit(message("sleep", {"seconds": 0})))
    assert (used(alice)["running"], used(alice)["queued"]) == (1, 300)
    alice.cancel(running)
    for outcome in batch.json()["outcomes"]:
        admin.cancel(details(outcome["task"])["task_id"])
