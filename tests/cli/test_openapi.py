"""The description of the HTTP interface as a file."""

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_what_is_written_is_current_until_someone_changes_it(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "new" / "openapi.json"
    assert run("openapi", "--output", str(file)).code == 0
    assert "/v1/tasks" in json.loads(file.read_text())["paths"]
    assert run("openapi", "--output", str(file), "--check").code == 0

    file.write_text(file.read_text().replace('"title": "Task Executor"', '"title": "Something else"'))
    before = file.read_text()
    ended = run("openapi", "--output", str(file), "--check")
    assert ended.code == 1
    assert "task-executor openapi" in ended.err
    assert '-    "title": "Something else",' in ended.err.splitlines()
    assert file.read_text() == before


def test_a_missing_file_is_out_of_date(run: Run, tmp_path: Path) -> None:
    ended = run("openapi", "--output", str(tmp_path / "none.json"), "--check")
    assert ended.code == 1
    assert ended.err.endswith("…\n"), "a long difference is cut"
