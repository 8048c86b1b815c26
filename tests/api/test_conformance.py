"""The whole OpenAPI document against the service: what Schemathesis can think of is answered as documented."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.protocol.roles import Role
from tests.support.service import Service

CONFIGURATION = Path(__file__).with_name("conformance.toml")
# An envelope is sent as the text that it is: Schemathesis knows no such media type.
PROGRAM = (
    "import schemathesis\n"
    "from schemathesis.cli import schemathesis as program\n"
    "schemathesis.serializer('application/jose')(lambda _context, value: str(value).encode())\n"
    "program()\n"
)


def operations(service: Service) -> int:
    paths = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    return sum(len(methods) for methods in paths.values())


LONG = [pytest.mark.chaos, pytest.mark.timeout(1900)]
SETTINGS = {"capacity": '{"cpu": 4, "memory_mb": 4096, "gpu": 0}', "cancel_grace_s": "0.2", "drain_s": "1"}


@pytest.mark.parametrize(
    ("role", "phases", "examples"),
    [
        (Role.SUBMITTER, "examples,coverage", 1),
        (Role.EXECUTOR, "examples,fuzzing", 1),
        (None, "examples,fuzzing", 1),
        pytest.param(Role.SUBMITTER, "examples,coverage,fuzzing", 50, marks=LONG),
        pytest.param(Role.EXECUTOR, "examples,fuzzing", 50, marks=LONG),
    ],
)
def test_every_answer_is_as_documented_and_none_is_a_server_error(
    shared_service: Callable[..., Service], tmp_path: Path, role: Role | None, phases: str, examples: int
) -> None:
    check_all(shared_service(**SETTINGS), tmp_path, role, phases, examples)


@pytest.mark.parametrize("examples", [1, pytest.param(50, marks=LONG)])
def test_the_same_for_an_admin(start_service: Callable[..., Service], tmp_path: Path, examples: int) -> None:
    """At a service of his own: an admin pauses kinds of task and revokes tokens."""
    check_all(start_service(**SETTINGS), tmp_path, Role.ADMIN, "examples,fuzzing", examples)


def check_all(service: Service, tmp_path: Path, role: Role | None, phases: str, examples: int) -> None:
    """Every operation, called by who has this role."""
    shutil.copy(CONFIGURATION, tmp_path / "schemathesis.toml")
    token = "none" if role is None else service.token("caller", role)
    command = [
        *(sys.executable, "-c", PROGRAM, "run", f"{service.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--phases", phases, "--max-examples", str(examples), "--seed", "1"),
        *("--continue-on-failure", "--no-color"),
    ]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=280 if examples < 10 else 1800, check=False
    )
    shown = "\n".join(line[:300] for line in result.stdout.splitlines())
    assert result.returncode == 0, shown[-20_000:] + result.stderr
    assert f"Tested: {operations(service)}" in result.stdout
