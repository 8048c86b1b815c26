"""A token for who may read the key of the service on this machine; test_credentials.py has the rest."""

import getpass
import os

import pytest

from app.cli.own_token import user_name


def test_an_account_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", no_name)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert user_name() == "uid-4711"
