"""Imports point down only: the contracts of pyproject.toml hold, and would be broken by what they forbid."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT, modules

LINTER = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINTER, "--no-logo", "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_the_walls_stand() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("place", "line", "contract"),
    [
        ("protocol", "import app.storage", "Imports point down only"),
        ("submission", "import app.execution", "Imports point down only"),
        ("storage", "import app.security", "Imports point down only"),
        ("storage", "from app.settings import Settings", "Settings are read where"),
        ("execution", "from starlette.requests import Request", "FastAPI lives in"),
        ("api", "import asyncpg", "SQLAlchemy, asyncpg and Alembic"),
        ("api", "from jose import jwt", "Tokens and keys"),
        ("protocol", "import socket", "The protocol is pure"),
        ("delivery", "import httpx", "Calls to addresses of others"),
        ("outbound", "import app.storage", "Imports point down only"),
    ],
)
def test_a_breach_is_seen(tmp_path: Path, place: str, line: str, contract: str) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "app" / place / "planted.py").write_text(f'"""Planted."""\n\n{line}\n')
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    broken = [row for row in result.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(contract in row for row in broken), result.stdout + result.stderr


def test_the_protocol_knows_the_standard_library_and_pydantic_only() -> None:
    allowed = sys.stdlib_module_names | {"pydantic", "pydantic_core", "app.protocol"}
    for module in modules():
        if module.path.is_relative_to(ROOT / "app" / "protocol"):
            foreign = {
                name
                for name in module.imported()
                if name.split(".")[0] not in allowed and not name.startswith("app.protocol")
            }
            assert foreign == set(), f"{module.name} imports {foreign}"
