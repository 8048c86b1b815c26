"""Keys are replaced by one command."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from app.cli import keys
from app.security.envelopes.key_ring import KeyRing
from app.security.own_key import own_signing_key
from app.security.rotation import retired_keys
from app.security.sealing_keys import SealingKeys
from app.storage.database import Database
from app.storage.webhook_secrets import WebhookSecrets
from tests.cli.conftest import Run


def test_the_signing_key(run: Run, tmp_path: Path) -> None:
    old = own_signing_key(tmp_path / "data")
    ended = run("keys", "rotate", "--signing")
    new = own_signing_key(tmp_path / "data")
    assert (ended.code, new.kid != old.kid) == (0, True)
    assert new.kid in ended.out + ended.err
    assert "stay valid until they expire, 86400 seconds at most" in ended.out + ended.err
    assert [key.kid for key in retired_keys(tmp_path / "data", 0)] == [old.kid]


def test_a_signing_key_that_has_leaked(run: Run, tmp_path: Path) -> None:
    ended = run("keys", "rotate", "--signing", "--void")
    assert "are void" in ended.out + ended.err
    assert retired_keys(tmp_path / "data", 0) == []


def test_the_encryption_key_and_the_list_of_them(run: Run, tmp_path: Path) -> None:
    assert "There is no key" in run("keys", "list").err
    first, second = run("keys", "rotate"), run("keys", "rotate")
    assert (first.code, second.code) == (0, 0)
    ring = KeyRing(tmp_path / "data" / "encryption-keys", 60)
    ring.load()
    old, new = ring.keys
    assert new.kid in second.out
    lines = run("keys", "list").out.splitlines()
    assert (new.kid in lines[1], "it is the current key" in lines[1]) == (True, True)
    assert (old.kid in lines[2], "until" in lines[2]) == (True, True)


def test_the_key_that_seals_the_secrets_of_webhooks(
    run: Run, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(keys, "SETTLE_S", 0)
    path = tmp_path / "data" / "sealing-keys"
    old = SealingKeys(path)

    async def store() -> None:
        database = Database(database_url)
        for number in range(2):
            sealed = old.sealer.seal(b"secret", f"s{number}")
            await WebhookSecrets(database).add_first(f"s{number}", str(uuid4()), sealed)
        await database.close()

    asyncio.run(store())
    first = run("keys", "rotate", "--sealing")
    assert (first.code, "2 were sealed anew" in first.out) == (0, True)
    assert len(path.read_text().split()) == 2
    second = run("keys", "rotate", "--sealing", "--void")
    assert (second.code, "2 were sealed anew" in second.out) == (0, True)
    (key,) = path.read_text().split()
    assert (path.stat().st_mode & 0o777, key in first.out + second.out) == (0o600, False)


def test_one_key_at_a_time(run: Run) -> None:
    assert run("keys", "rotate", "--sealing", "--signing").code == 2


def test_a_sealing_key_needs_the_database(run: Run, tmp_path: Path) -> None:
    ended = run("keys", "rotate", "--sealing")
    assert (ended.code, "There is no database" in ended.err) == (1, True)
    assert not (tmp_path / "data" / "sealing-keys").exists()


def test_an_encryption_key_is_not_made_void(run: Run) -> None:
    ended = run("keys", "rotate", "--void")
    assert ended.code == 2
    assert "--signing" in ended.err


def test_an_issuers_keys_are_the_issuers(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_JWT_KEYS_URL", "https://issuer.example/keys")
    ended = run("keys", "rotate", "--signing")
    assert ended.code == 1
    assert "rotate its keys there" in ended.err
    assert not (tmp_path / "data").exists()
