"""Fault points: what they do where they are asked for, and that each stands in the code once."""

import asyncio
import re
import sys
import time
from collections.abc import Iterator

import pytest

from app.fault_points import POINTS, arm, parse, reached
from tests.support.source_tree import ROOT


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("", 0)


async def test_nothing_happens_unless_asked_for() -> None:
    for point in POINTS:
        await reached(point)


async def test_a_connection_is_lost_as_often_as_asked_for() -> None:
    arm("journal.before_send:0.25:lose", seed=7)

    async def lost(point: str) -> bool:
        try:
            await reached(point)
        except ConnectionResetError:
            return True
        return False

    first = [await lost("journal.before_send") for _ in range(1000)]
    assert 200 < sum(first) < 300
    assert not any([await lost("journal.after_reply") for _ in range(1000)])
    arm("journal.before_send:0.25:lose", seed=7)
    assert [await lost("journal.before_send") for _ in range(1000)] == first, "the same seed, the same faults"


async def test_a_delay() -> None:
    arm("pool.before_send:1:delay=0.05", seed=0)
    begin = time.monotonic()
    await reached("pool.before_send")
    assert time.monotonic() - begin >= 0.05


@pytest.mark.parametrize("kind", ["kill", "kill=0.01"])
async def test_a_kill(kind: str) -> None:
    program = (
        "import asyncio; from app.fault_points import arm, reached\n"
        f"arm('runner.after_run:1:{kind}', 0)\n"
        "async def main():\n    await reached('runner.after_run')\n    await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT)
    assert await process.wait() == -9


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ("journal.before_send", "is no POINT:PROBABILITY:KIND"),
        ("journal.before_send:1:explode", "is no POINT:PROBABILITY:KIND"),
        ("journal.somewhere:1:kill", "is no fault point"),
        ("runner.after_run:1:delay", "needs seconds"),
        ("runner.after_run:1:lose", "no connection is in use"),
    ],
)
def test_what_is_wrong_is_said(faults: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(faults)


def test_all_points_at_once() -> None:
    assert set(parse("*:0.1:kill, *:0.1:lose")) == set(POINTS)
    assert all(point.endswith(("send", "reply", "open")) for point in parse("*:0.1:lose"))


def test_every_point_stands_in_the_code_once() -> None:
    sources = [path.read_text() for path in (ROOT / "app").rglob("*.py") if path.name != "fault_points.py"]
    named = [name for source in sources for name in re.findall(r'reached\("([\w.]+)"\)', source)]
    for source in sources:
        for connection in re.findall(r'\.dedicated\("(\w+)"', source):
            named += [f"{connection}.before_send", f"{connection}.after_reply"]
    assert sorted(named) == sorted(POINTS)


def test_the_documents_list_every_point() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for point, truth in POINTS.items():
        assert f"| `{point}` | {truth} |" in page
