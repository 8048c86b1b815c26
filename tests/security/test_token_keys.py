"""Keys that change while the service runs: rotation without a restart, and an issuer that is away."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.protocol.roles import Role
from app.security.errors import InvalidToken, KeyConfigurationError, UnknownKey
from app.security.issuer_keys import IssuerKeys
from app.security.issuing import issue
from app.security.keys import KeySet
from app.security.local_keys import LocalKeys
from app.security.own_key import own_signing_key
from app.security.rotation import rotate_signing_key
from app.security.token_keys import LEAST_FETCH_S, MAX_WAITING, TokenKeys
from app.security.tokens import TokenVerifier
from tests.security.forge import HEADERS, NOW, RULES, SECRET, jwks, rsa_jwk, with_header
from tests.security.issuer import Issuer
from tests.support.waiting import eventually

Make = Callable[..., TokenKeys]


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make(issuer: Issuer, clock: Clock, tmp_path: Path) -> AsyncIterator[Make]:
    """Keys of the test's issuer, or of the files named."""
    made: list[TokenKeys] = []

    def build(keys_file: Path | None = None, secret: str | None = None, *, published: bool = True) -> TokenKeys:
        local = LocalKeys(tmp_path, keys_file, secret, elsewhere=published)
        found = TokenKeys(TokenVerifier(KeySet(()), RULES), local, IssuerKeys(issuer.url) if published else None, clock)
        made.append(found)
        return found

    yield build
    for each in made:
        await each.close()


def named(kid: str) -> str:
    """A valid token by the RSA key under this name."""
    return with_header("RS256", kid=kid)


def accepts(keys: TokenKeys, token: str) -> bool:
    try:
        return keys._verifier.verify(token, NOW).subject == "alice"
    except InvalidToken:
        return False


async def test_a_key_that_is_published_later_is_found_by_its_first_token(
    make: Make, issuer: Issuer, clock: Clock
) -> None:
    keys = make()
    await keys.load()
    assert accepts(keys, named("rsa-1"))
    issuer.document = jwks(rsa_jwk(kid="rsa-2"))
    clock.now += LEAST_FETCH_S
    with pytest.raises(UnknownKey):
        keys._verifier.verify(named("rsa-2"), NOW)
    assert await keys.look_again()
    assert accepts(keys, named("rsa-2"))
    assert not accepts(keys, named("rsa-1")), "withdrawn, also where it was verified before"


async def test_a_flood_of_unknown_kids_costs_one_fetch_in_ten_seconds(make: Make, issuer: Issuer, clock: Clock) -> None:
    keys = make()
    await keys.load()
    clock.now += LEAST_FETCH_S
    await asyncio.gather(*(keys.look_again() for _ in range(500)))
    for _ in range(50):
        await keys.look_again()
    assert issuer.asked == 2
    clock.now += LEAST_FETCH_S - 0.001
    assert not await keys.look_again() or issuer.asked == 2
    assert issuer.asked == 2
    clock.now += 0.001
    assert await keys.look_again()
    assert issuer.asked == 3


async def test_while_an_issuer_does_not_answer_few_wait_and_valid_tokens_none(
    make: Make, issuer: Issuer, clock: Clock
) -> None:
    keys = make()
    await keys.load()
    clock.now += LEAST_FETCH_S
    issuer.answering = issuer.hold
    waiting = [asyncio.create_task(keys.look_again()) for _ in range(MAX_WAITING + 20)]

    async def settled() -> bool:
        return sum(task.done() for task in waiting) == 20

    await eventually(settled, "the others are refused at once")
    assert accepts(keys, named("rsa-1"))
    issuer.released.set()
    await asyncio.gather(*waiting)
    assert keys._waiting == 0


async def test_an_issuer_that_is_away_or_talks_nonsense_locks_nobody_out(
    make: Make, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    keys = make()
    await keys.load()
    for document in (b"", jwks(), jwks(rsa_jwk(kid="rsa-2"), rsa_jwk(kid="rsa-2"))):
        issuer.document = document
        await keys.refresh()
        assert accepts(keys, named("rsa-1"))
    assert caplog.text.count("the last good token keys stay in use") == 3


async def test_an_issuer_that_is_away_at_the_start_stops_it(make: Make, issuer: Issuer) -> None:
    issuer.document = b""
    with pytest.raises(KeyConfigurationError, match="not usable"):
        await make().load()


async def test_who_gives_up_waiting_does_not_end_the_fetch(make: Make, issuer: Issuer, clock: Clock) -> None:
    keys = make()
    await keys.load()
    clock.now += LEAST_FETCH_S
    issuer.document, issuer.answering = jwks(rsa_jwk(kid="rsa-2")), issuer.hold
    first = asyncio.create_task(keys.look_again())

    async def fetching() -> bool:
        return keys._fetching is not None

    await eventually(fetching, "the fetch has begun")
    second = asyncio.create_task(keys.look_again())
    await asyncio.sleep(0)
    first.cancel()
    issuer.released.set()
    assert await second
    assert accepts(keys, named("rsa-2"))


async def test_file_address_and_secret_count_together(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(rsa_jwk(kid="from-file")))
    keys = make(file, SECRET)
    await keys.load()
    assert all(accepts(keys, token) for token in (named("from-file"), named("rsa-1"), with_header("ES256")))
    assert accepts(keys, with_header("HS256"))


async def test_one_kid_in_two_places_is_a_mistake(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(rsa_jwk(kid="rsa-1")))
    with pytest.raises(KeyConfigurationError, match="the kid 'rsa-1'"):
        await make(file).load()


async def test_a_changed_file_is_taken_up(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(rsa_jwk(kid="one")))
    keys = make(file, published=False)
    await keys.load()
    assert accepts(keys, named("one"))
    replace(file, jwks(rsa_jwk(kid="two")))
    await keys.look()
    assert (accepts(keys, named("one")), accepts(keys, named("two"))) == (False, True)
    for unfit in (b"{", jwks()):
        replace(file, unfit)
        await keys.look()
        await keys.look()
        assert accepts(keys, named("two")), "the last good keys stay"
    assert caplog.text.count("the last good token keys stay in use") == 2, "said once for each change"
    file.unlink()
    await keys.look()
    assert accepts(keys, named("two"))


async def test_a_file_that_everyone_may_write_is_not_taken_up(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(rsa_jwk(kid="one")))
    keys = make(file, published=False)
    await keys.load()
    file.write_bytes(jwks(rsa_jwk(kid="two")))
    file.chmod(0o666)
    await keys.look()
    assert (accepts(keys, named("one")), accepts(keys, named("two"))) == (True, False)


async def test_an_own_key_that_was_rotated_is_taken_up_and_its_tokens_stay_valid(tmp_path: Path) -> None:
    keys = TokenKeys(TokenVerifier(KeySet(()), RULES), LocalKeys(tmp_path))
    await keys.load()

    def token() -> str:
        signing_key = own_signing_key(tmp_path)
        return issue(signing_key, "alice", [Role.SUBMITTER], 600, NOW, issuer="issuer", audience="audience")

    old = token()
    assert accepts(keys, old)
    rotate_signing_key(tmp_path, overlap_s=600, now=time.time())
    new = token()
    assert HEADERS["RS256"][0]["kid"] not in new
    assert await keys.look_again()
    assert (accepts(keys, old), accepts(keys, new)) == (True, True)
    rotate_signing_key(tmp_path, overlap_s=0, now=time.time())
    await keys.look()
    assert (accepts(keys, old), accepts(keys, new), accepts(keys, token())) == (True, False, True)


async def test_a_retired_key_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    keys = TokenKeys(TokenVerifier(KeySet(()), RULES), LocalKeys(tmp_path))
    await keys.load()
    old = issue(own_signing_key(tmp_path), "alice", [], 600, NOW, issuer="issuer", audience="audience")
    rotate_signing_key(tmp_path, overlap_s=100, now=now)
    await keys.look()
    assert accepts(keys, old)
    monkeypatch.setattr("app.security.local_keys.time.time", lambda: now + 101)
    await keys.look()
    assert not accepts(keys, old)


def replace(file: Path, content: bytes) -> None:
    """As careful operators do, and with another time however coarse the file system's clock is."""
    draft = file.with_suffix(".new")
    draft.write_bytes(content)
    os.utime(draft, ns=(0, file.stat().st_mtime_ns + 1_000_000))
    draft.replace(file)
