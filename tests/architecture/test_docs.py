"""What the pages name is there: links and their anchors, files, rooms, settings, commands and targets."""

import re
from pathlib import Path

import pytest

from app.cli.program import COMMANDS
from tests.support.source_tree import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
MADE_BY_A_RUN = {"tests/output/bench.json"}


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = set(re.findall(r"\b(?:app|deploy|docs|migrations|openapi|tests)/[\w./-]+\.\w+", text)) - MADE_BY_A_RUN
    assert {file for file in files if not (ROOT / file).exists()} == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ |^)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert set(re.findall(r"task-executor ([a-z]+)", text)) <= set(COMMANDS)


def test_every_setting_that_a_page_names_is_one() -> None:
    known = set(
        re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/configuration.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    known |= {"TASK_EXECUTOR_URL", "TASK_EXECUTOR_TOKEN", "TASK_EXECUTOR_PRIVATE_KEY"}
    for page in PAGES:
        named = set(re.findall(r"TASK_EXECUTOR_[A-Z_]*[A-Z]\b(?!_)", page.read_text(encoding="utf-8")))
        assert named - known == set(), page.name


def test_the_map_has_every_room() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.]+/?)`", page))
    rooms = {path.parent for path in (ROOT / "app").rglob("__init__.py")} - {ROOT / "app"}
    assert {room.name for room in rooms} - {name.rstrip("/") for name in named} == set()
    files = {name for name in named if name.endswith(".py")}
    assert files - {path.name for path in (ROOT / "app").rglob("*.py")} == set()
