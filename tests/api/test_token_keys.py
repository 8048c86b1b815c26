"""Keys that change under a running service, as its clients see it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.security.forge import CLAIMS, HEADERS, forge, jwks, rsa_jwk
from tests.security.issuer import Issuer
from tests.support.service import Service
from tests.support.waiting import wait_until

ISSUED = {"jwt_issuer": "issuer", "jwt_audience": "audience"}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


@pytest.fixture
def web() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


def ask(web: httpx.Client, service: Service, token: str) -> int:
    return web.get(f"{service.url}/v1/task-types", headers={"Authorization": f"Bearer {token}"}).status_code


def named(kid: str) -> str:
    """A token by the issuer's key under this name."""
    now = int(time.time())
    header, signer = HEADERS["RS256"]
    return forge({**header, "kid": kid}, {**CLAIMS, "iat": now, "exp": now + 600}, signer)


def test_keys_at_an_address_are_found_without_a_restart(
    start_service: Callable[..., Service], issuer: Issuer, web: httpx.Client
) -> None:
    service = start_service(jwt_keys_url=issuer.url, **ISSUED)
    assert ask(web, service, named("rsa-1")) == 200
    issuer.document = jwks(rsa_jwk(kid="rsa-2"))
    wait_until(lambda: ask(web, service, named("rsa-2")) == 200, "the new key counts", 60)
    assert ask(web, service, named("rsa-1")) == 401
    issuer.document = b"gone"
    asked = issuer.asked
    assert {ask(web, service, named(f"kid-{number}")) for number in range(300)} == {401}
    assert issuer.asked - asked <= 3, "a flood of unknown kids costs a fetch in ten seconds"
    assert ask(web, service, named("rsa-2")) == 200


def test_a_file_of_keys_is_read_again_when_it_changes(
    start_service: Callable[..., Service], tmp_path: Path, web: httpx.Client
) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(rsa_jwk(kid="one")))
    service = start_service(jwt_keys_file=str(file), **ISSUED)
    assert ask(web, service, named("one")) == 200
    draft = file.with_suffix(".new")
    draft.write_bytes(jwks(rsa_jwk(kid="two")))
    os.replace(draft, file)  # noqa: PTH105 - as `mv` does
    wait_until(lambda: ask(web, service, named("one")) == 401, "a withdrawn key counts no more", 30)
    assert ask(web, service, named("two")) == 200


def test_the_own_key_is_rotated_under_a_running_service(service: Service, web: httpx.Client) -> None:
    def token() -> str:
        return service.command("token", "--subject", "alice").stdout.strip()

    old = token()
    assert ask(web, service, old) == 200
    assert service.command("keys", "rotate", "--signing").returncode == 0
    assert [ask(web, service, token()), ask(web, service, old)] == [200, 200]
    assert service.command("keys", "rotate", "--signing", "--void").returncode == 0
    wait_until(lambda: ask(web, service, token()) == 200, "the third key counts", 30)
    wait_until(lambda: ask(web, service, old) == 200, "the first key is retired still, for a day", 30)


def test_an_issuer_that_cannot_be_asked_stops_the_start(start_service: Callable[..., Service], issuer: Issuer) -> None:
    issuer.document = json.dumps({"keys": []}).encode()
    with pytest.raises(AssertionError, match=r"the keys at http://127\.0\.0\.1:\d+/keys are not usable"):
        start_service(jwt_keys_url=issuer.url, **ISSUED)
