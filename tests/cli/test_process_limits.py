"""The service's process: no core files, files enough."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.process_limits import OTHER_FILES, connections_allowed
from tests.support.service import Service


def test_the_service_leaves_no_core_file(service: Service) -> None:
    process = Path(f"/proc/{service.process_id}")
    assert re.search(r"^Max core file size\s+0\s+0\s", (process / "limits").read_text(), re.MULTILINE)
    # Of a process that may not be dumped these files are root's, whoever runs it. Where that is root it says nothing:
    # tests/security/test_child_user.py looks as another user then.
    assert (process / "environ").stat().st_uid == 0


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed"), [(400, 400, 5000, 144), (400, 1000, 500, 500), (300, 300, 5, 5)]
)
def test_connections_are_no_more_than_there_are_files(soft: int, hard: int, wanted: int, allowed: int) -> None:
    script = (
        "import resource\n"
        "from app.cli.process_limits import connections_allowed\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        f"print(connections_allowed({wanted}))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(ended.stdout) == allowed


def test_enough_files_are_left_as_they_are() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections_allowed(max(1, before[0] - OTHER_FILES)) >= 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
