"""Revoking from the command line, with this machine's key."""

import json

import pytest

from tests.cli.conftest import Run
from tests.support.service import Service


@pytest.mark.parametrize("words", [[], ["--subject", "a", "--token-id", "b"], ["--subject", "a", "--until", "soon"]])
def test_what_makes_no_sense(run: Run, words: list[str]) -> None:
    assert run("revoke", *words).code == 2


def test_revoke_list_and_lift(service: Service) -> None:
    with service.blocking_client("mallory") as mallory:
        assert mallory.get("/v1/tasks").status_code == 200
        told = service.command("revoke", "--subject", "mallory", "--until", "2h")
        assert (told.returncode, told.stderr) == (0, "")
        assert mallory.get("/v1/tasks").status_code == 401
        listed = service.command("revocations", "list", "--json")
        (entry,) = (json.loads(line) for line in listed.stdout.splitlines())
        assert entry["subject"] == "mallory"
        assert f"task-executor revocations lift {entry['revocation_id']}" in told.stdout
        assert entry["until"] in told.stdout
        assert "mallory" in service.command("revocations", "list").stdout
        assert service.command("revocations", "lift", entry["revocation_id"]).returncode == 0
        assert mallory.get("/v1/tasks").status_code == 200
        assert service.command("revocations", "lift", entry["revocation_id"]).returncode == 3
        made = json.loads(service.command("revoke", "--token-id", "t-1", "--json").stdout)
        assert made["token_id"] == "t-1"


def test_a_submitters_token_may_not(service: Service) -> None:
    told = service.command("revoke", "--subject", "mallory", "--token", service.token("alice"))
    assert told.returncode == 3
    assert "The token lacks the role admin" in told.stderr
