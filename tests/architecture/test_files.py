"""What must not stand in any file of the project: one machine's paths, an index's address, work left undone."""

import re
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT, files

# Pieced together, so that this file does not contain what it looks for.
MACHINE = [
    rf"(?<![\w./-]){re.escape(str(ROOT))}/",
    r"(?<![\w./-])/" + r"(work|root|Users/\w+|opt/(pypi|wheels))[\w-]*/",
]
INDEX = [
    "pypi" + r"\.org",
    "files" + r"\.pythonhosted",
    "--" + "(extra-)?index-url",
    "--" + "find-links",
    "index" + r"\.crates",
]
UNDONE = [r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", "NotImplemented" + "Error"]
BARE = [r"#\s*type:\s*" + r"ignore(?!\[)", r"#\s*no" + r"qa(?!:)", r"#\s*no" + r"qa:\s*[A-Z0-9, ]+$"]


def texts() -> list[tuple[Path, str]]:
    """Every file that is text, with its content."""
    found = []
    for path in files():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def hits(patterns: list[str], suffixes: set[str] | None = None) -> list[str]:
    wanted = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path, text in texts()
        if suffixes is None or path.suffix in suffixes
        for number, line in enumerate(text.splitlines(), 1)
        if wanted.search(line)
    ]


def test_no_file_names_a_path_of_one_machine() -> None:
    assert hits(MACHINE) == []


def test_no_file_names_a_package_index() -> None:
    assert hits(INDEX) == []


def test_nothing_is_left_undone() -> None:
    assert hits(UNDONE, {".py", ".toml", ".yaml", ".md", ""}) == []


def test_every_exception_from_the_linters_has_its_code_and_reason() -> None:
    assert hits(BARE, {".py"}) == []


@pytest.mark.parametrize(
    ("patterns", "line"),
    [
        (MACHINE, f"open('{ROOT}/app')"),
        (INDEX, "see https://pypi" + ".org/simple"),
        (UNDONE, "# TO" + "DO later"),
        (BARE, "x = 1  # no" + "qa: F401"),
        (BARE, "x = 1  # type: " + "ignore"),
    ],
)
def test_the_patterns_find_what_they_look_for(patterns: list[str], line: str) -> None:
    assert re.search("|".join(patterns), line)


def test_text_files_end_with_one_newline_and_use_unix_line_ends() -> None:
    untidy = [
        str(path.relative_to(ROOT))
        for path, text in texts()
        if text and path.suffix in {".py", ".toml", ".md", ".yaml", ".lock"}
        if not text.endswith("\n") or text.endswith("\n\n") or "\r" in text
    ]
    assert untidy == []
