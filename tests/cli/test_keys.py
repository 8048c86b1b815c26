"""Keys are replaced by one command."""

from pathlib import Path

import pytest

from app.security.envelopes.key_ring import KeyRing
from app.security.own_key import own_signing_key
from app.security.rotation import retired_keys
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
