"""docs/security.md has a line for every attack, and every test that a line names is there."""

import ast
import re
from functools import cache

import pytest

from tests.support.source_tree import ROOT

ATTACKS = 101
LINE = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


def lines() -> list[tuple[int, str, str, str]]:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    return [(int(number), attack, answer, tests) for number, attack, answer, tests in LINE.findall(page)]


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_attack_has_its_line() -> None:
    assert [number for number, *_ in lines()] == list(range(1, ATTACKS + 1))


@pytest.mark.parametrize(("number", "attack", "answer", "tests"), lines(), ids=lambda value: str(value)[:40])
def test_every_line_says_which_tests_show_it(number: int, attack: str, answer: str, tests: str) -> None:
    named = TEST.findall(tests)
    assert named or tests == "to come" or tests.startswith("does not apply: "), f"{number}: {attack}"
    assert answer
    for path, name in named:
        assert (ROOT / "tests" / path).is_file(), f"{number}: there is no tests/{path}"
        assert name in names_in(path), f"{number}: there is no {name} in tests/{path}"
