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


@pytest.fixture
def own_service(start_service: Callable[..., Service]) -> Service:
    """Not the one that other tests share: an admin pauses kinds of task and revokes tokens."""
    return start_service(capacity='{"cpu": 4, "memory_mb": 4096, "gpu": 0}', cancel_grace_s="0.2", drain_s="1")


@pytest.mark.parametrize(
    ("role", "phases", "examples"),
    [
        (Role.SUBMITTER, "examples,coverage,fuzzing", 10),
        (Role.ADMIN, "examples,fuzzing", 5),
        (Role.EXECUTOR, "examples,fuzzing", 5),
        (None, "examples,fuzzing", 2),
    ],
)
def test_every_answer_is_as_documented_and_none_is_a_server_error(
    own_service: Service, tmp_path: Path, role: Role | None, phases: str, examples: int
) -> None:
    shutil.copy(CONFIGURATION, tmp_path / "schemathesis.toml")
    token = "none" if role is None else own_service.token("caller", role)
    command = [
        *(sys.executable, "-c", PROGRAM, "run", f"{own_service.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--phases", phases, "--max-examples", str(examples), "--seed", "1"),
        *("--continue-on-failure", "--no-color"),
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    shown = "\n".join(line[:300] for line in result.stdout.splitlines())
    assert result.returncode == 0, shown[-20_000:] + result.stderr
    assert f"Tested: {operations(own_service)}" in result.stdout
