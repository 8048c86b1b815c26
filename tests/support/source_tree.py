"""The project's own files, as the tests of its order see them."""

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def files() -> list[Path]:
    """Every file that belongs to the project: what git keeps or would keep; in an unpacked archive, everything."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
        found = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in ROOT.rglob("*") if not any(part in {".venv", ".git"} for part in path.parts)]
    return sorted(path for path in found if path.is_file())


@dataclass(frozen=True)
class Module:
    """One Python file of app/."""

    path: Path

    @property
    def name(self) -> str:
        """For test names and messages: the path below the root."""
        return str(self.path.relative_to(ROOT))

    @property
    def lines(self) -> int:
        """How long it is."""
        return len(self.path.read_text(encoding="utf-8").splitlines())

    @property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.path.read_text(encoding="utf-8"), self.name)

    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """All of its functions and methods, nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    def imported(self) -> set[str]:
        """The absolute names that it imports anywhere."""
        names: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} line {node.lineno}: imports are absolute in this house"
                names.add(node.module or "")
        return names


@cache
def modules() -> list[Module]:
    """The modules of app/."""
    return [Module(path) for path in files() if path.suffix == ".py" and path.is_relative_to(ROOT / "app")]
