"""docs/api.md, typed line by line: what it shows is what the service answers."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.machine import need_program
from tests.support.service import ROOT, Service

PAGE = ROOT / "docs" / "api.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "--- end of block ---"


def blocks() -> list[tuple[str, str]]:
    """Language and text of every block, the first one left out: it sets what the test sets itself."""
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert "task-executor token" in found[0][1]
    return found[1:]


def outputs(service: Service, folder: Path) -> list[str]:
    """What each shell block prints, all of them in one shell."""
    script = "".join(f"{text}\necho; echo '{END}'\n" for language, text in blocks() if language == "sh")
    environment = {
        **service.environment,
        "URL": service.url,
        "AUTH": f"Authorization: Bearer {service.token('alice')}",
        "ADMIN": f"Authorization: Bearer {service.token('root', 'admin')}",
        "JSON": "Content-Type: application/json",
    }
    result = subprocess.run(
        [need_program("bash"), "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.split(END)[:-1]


def agrees(shown: Any, answered: Any, where: str = "") -> None:
    """What is shown stands in the answer, which may have more members; "…" stands for anything."""
    if isinstance(shown, dict):
        assert isinstance(answered, dict), where
        for name, value in shown.items():
            assert name in answered, f"{where}/{name}"
            agrees(value, answered[name], f"{where}/{name}")
    elif isinstance(shown, list):
        assert len(shown) == len(answered) or where.endswith("/required"), where
        for number, (one, other) in enumerate(zip(shown, answered, strict=False)):
            agrees(one, other, f"{where}/{number}")
    elif isinstance(shown, str) and "…" in shown:
        assert str(answered).startswith(shown.split("…")[0]), where
    else:
        assert answered == shown, f"{where}: {answered!r}"


def test_the_page_shows_what_the_service_answers(service: Service, tmp_path: Path) -> None:
    need_program("curl")
    printed = iter(outputs(service, tmp_path))
    current, compared = "", 0
    for language, text in blocks():
        if language == "sh":
            current = next(printed).strip()
        elif language == "json":
            agrees(json.loads(text), json.loads(current))
            compared += 1
        else:
            agrees(text.strip(), current)
    assert compared > 10


def test_every_call_of_the_interface_is_on_the_page() -> None:
    page = re.sub(r"\{\w+\}", "", PAGE.read_text(encoding="utf-8"))
    paths = json.loads((ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    shown = {
        re.sub(r"\{\w+\}", "", path.removeprefix("/v1/tasks/{task_id}").removeprefix("/v1")).rstrip("/")
        for path in paths
    }
    assert [part for part in sorted(shown) if part not in page] == [], "show it in docs/api.md, with an example"
