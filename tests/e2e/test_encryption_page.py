"""The clients of docs/encryption.md, run as they stand there against a real service."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.service import ROOT, Service

PAGE = ROOT / "docs" / "encryption.md"
NODE_MODULES = Path(os.environ.get("TASK_EXECUTOR_TEST_NODE_MODULES", "/nonexistent"))


def listing(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def environment(start_service: Callable[..., Service], tmp_path: Path) -> dict[str, str]:
    """What both clients need to know."""
    service, key = start_service(), tmp_path / "mine.pem"
    private = rsa.generate_private_key(65_537, 2048)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    token = service.command("token", "--subject", "alice", "--cnf", str(key)).stdout.strip()
    return {"PATH": os.environ["PATH"], "URL": service.url, "TOKEN": token, "PRIVATE_KEY": str(key)}


def run(*command: str, environment: dict[str, str], cwd: Path) -> str:
    ended = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_the_client_in_python(environment: dict[str, str], tmp_path: Path) -> None:
    assert (
        run(sys.executable, "-c", listing("python"), environment=environment, cwd=tmp_path)
        == '{"note":"for you alone"}'
    )


def test_the_client_in_javascript(environment: dict[str, str], tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "jose").is_dir():
        pytest.skip("node, or the package jose, is not there: name its node_modules in TASK_EXECUTOR_TEST_NODE_MODULES")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "client.mjs").write_text(listing("javascript"), encoding="utf-8")
    assert run(node, "client.mjs", environment=environment, cwd=tmp_path) == '{"note":"for you alone"}'
