"""Rate limits from outside: headers on every answer, 429 with the policy, and no more than the limit over replicas."""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from joserfc import jwt
from joserfc.jwk import OctKey

from app.protocol.roles import Role
from tests.api.caller import PROBLEM, Callers, message
from tests.support.service import Service

SECRET = "a secret that two replicas share"

Start = Callable[..., Service]

STANDING = re.compile(r'"calls";r=(\d+);t=(\d+)')


def standing(response: httpx.Response) -> tuple[int, int]:
    """What is left, and the seconds until everything is."""
    found = STANDING.fullmatch(response.headers["ratelimit"])
    assert found, response.headers["ratelimit"]
    return int(found[1]), int(found[2])


def test_every_answer_to_a_known_caller_tells_what_is_left(start_service: Start) -> None:
    service = start_service(rate_limit="1000/hour")
    with service.blocking_client() as alice:
        calls = [
            alice.post("/v1/tasks", json=message()),
            alice.post("/v1/tasks", content=b"{", headers={"Content-Type": "application/json"}),
            alice.get("/v1/tasks"),
            alice.get("/v1/tasks/none"),
            alice.get("/v1/tasks/none/messages"),
            alice.get("/v1/tasks?limit=0"),
            alice.get("/v1/task-types"),
            alice.post("/v1/tasks/batch", json={"messages": [message() for _ in range(10)]}),
        ]
        assert [call.status_code for call in calls] == [202, 400, 200, 404, 404, 422, 200, 200]
        assert {call.headers["ratelimit-policy"] for call in calls} == {'"calls";q=1000;w=3600'}
        left = [standing(call)[0] for call in calls]
        # What is held ahead and lost makes it a little less.
        assert left == sorted(left, reverse=True)
        assert 900 < left[-1] <= 1000 - 17
    assert "ratelimit" not in httpx.get(f"{service.url}/livez").headers
    assert "ratelimit" not in httpx.get(f"{service.url}/v1/tasks").headers


def test_over_the_limit_is_a_problem_that_names_the_policy(start_service: Start) -> None:
    service = start_service(rate_limit="5/hour")
    with service.blocking_client() as alice, service.blocking_client("bob") as bob:
        answers = [alice.get("/v1/task-types") for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        refused = answers[-1]
        assert refused.headers["content-type"] == PROBLEM
        assert refused.json()["type"] == "urn:task-executor:problem:rate-limit-exceeded"
        assert refused.json()["violated-policies"] == ["calls"]
        assert 700 <= int(refused.headers["retry-after"]) <= 720
        assert standing(refused)[0] == 0
        assert alice.post("/v1/tasks", json=message()).status_code == 429
        assert bob.get("/v1/task-types").status_code == 200
        batch = bob.post("/v1/tasks/batch", json={"messages": [message() for _ in range(5)]})
        assert batch.status_code == 429
        assert bob.get("/v1/tasks").json()["items"] == []


def test_off_is_no_limit_and_no_header(start_service: Start) -> None:
    service = start_service(rate_limit="off")
    with service.blocking_client() as alice:
        answers = [alice.get("/v1/tasks/none") for _ in range(50)]
    assert {answer.status_code for answer in answers} == {404}
    assert "ratelimit" not in answers[0].headers


def test_a_wrong_limit_stops_the_start_with_one_sentence(start_service: Start, tmp_path: Path) -> None:
    service = Service(tmp_path, None, {"rate_limit": "many"})
    service.launch()
    assert service.wait(30) != 0
    assert "TASK_EXECUTOR_RATE_LIMIT: must be a number and a unit such as 6000/minute" in service.log


async def test_two_replicas_let_through_no_more_than_the_limit_together(start_service: Start) -> None:
    limit, rate_per_s = 600, 10
    replicas = [start_service(rate_limit=f"{limit}/minute", jwt_secret=SECRET) for _ in range(2)]
    token = _secret_token("alice")
    begin = time.monotonic()

    async def flood(url: str) -> tuple[int, int]:
        passed = refused = 0
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            while time.monotonic() - begin < 4 or not refused:
                answers = await asyncio.gather(*(client.get("/v1/task-types/echo") for _ in range(20)))
                passed += sum(answer.status_code == 200 for answer in answers)
                refused += sum(answer.status_code == 429 for answer in answers)
                assert passed + refused
        return passed, refused

    counts = await asyncio.gather(*(flood(replica.url) for replica in replicas))
    took_s = time.monotonic() - begin
    assert all(refused for _, refused in counts)
    passed = sum(passed for passed, _ in counts)
    assert passed <= limit + rate_per_s * took_s + 1
    assert passed >= limit


def test_a_killed_replica_gives_nobody_more(start_service: Start) -> None:
    """What it held is lost; what it had let through stays counted."""
    one, other = (start_service(rate_limit="100/hour", jwt_secret=SECRET) for _ in range(2))
    headers = {"Authorization": f"Bearer {_secret_token('alice')}"}
    passed = 0
    with httpx.Client(base_url=one.url, headers=headers) as client:
        passed += sum(client.get("/v1/task-types/echo").status_code == 200 for _ in range(60))
    one.kill()
    with httpx.Client(base_url=other.url, headers=headers) as client:
        passed += sum(client.get("/v1/task-types/echo").status_code == 200 for _ in range(60))
    assert 80 <= passed <= 101


def test_an_address_without_valid_tokens_is_held_up_whatever_it_claims_to_be(start_service: Start) -> None:
    service = start_service(address_rate_limit="10/hour")
    with httpx.Client(base_url=service.url) as stranger:
        answers = [
            stranger.get("/v1/tasks", headers={"Authorization": "Bearer none", "X-Forwarded-For": f"192.0.2.{number}"})
            for number in range(12)
        ]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
        assert answers[-1].json()["violated-policies"] == ["calls-without-token"]
        assert stranger.get("/livez").status_code == 200
        assert stranger.get("/readyz").status_code == 200


def test_a_stranger_does_not_lock_out_who_is_known_at_the_same_address(start_service: Start) -> None:
    service = start_service(address_rate_limit="3/hour")
    with service.blocking_client() as alice, service.blocking_client("bob") as bob, httpx.Client() as stranger:
        assert alice.get("/v1/tasks").status_code == 200
        answers = [stranger.get(f"{service.url}/v1/tasks").status_code for _ in range(4)]
        assert answers == [401, 401, 401, 429]
        assert alice.get("/v1/tasks").status_code == 200
        assert bob.get("/v1/tasks").status_code == 429, "nobody has seen this token: it is not looked at now"


def test_a_trusted_proxy_says_who_calls(start_service: Start) -> None:
    service = start_service(address_rate_limit="3/hour", trusted_proxies="127.0.0.0/8, 10.0.0.1")
    with httpx.Client(base_url=service.url) as proxy:

        def statuses(forwarded: str, count: int) -> list[int]:
            return [proxy.get("/v1/tasks", headers={"X-Forwarded-For": forwarded}).status_code for _ in range(count)]

        assert statuses("192.0.2.1", 4) == [401, 401, 401, 429]
        assert statuses("192.0.2.2", 1) == [401]
        # The last one that is not trusted counts: what a client writes before it is its own invention.
        assert statuses("203.0.113.9, 192.0.2.1", 1) == [429]


def test_many_valid_calls_never_count_for_their_address(start_service: Start) -> None:
    service = start_service(address_rate_limit="3/hour")
    callers = Callers(service)
    alice = callers.make(Role.SUBMITTER)
    assert [alice.get("none").status_code for _ in range(10)] == [404] * 10
    callers.close()


def _secret_token(subject: str) -> str:
    now = int(time.time())
    claims = {"sub": subject, "iss": "task-executor", "aud": "task-executor", "iat": now, "exp": now + 600}
    return jwt.encode({"alg": "HS256"}, {**claims, "roles": ["submitter"]}, OctKey.import_key(SECRET))
