"""The locks: exact versions with their hashes, no address, and in agreement with pyproject.toml. All offline."""

import re
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.source_tree import ROOT

RUNTIME, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"
LOCKS = pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT])
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def entries(lock: str) -> dict[str, list[Requirement]]:
    """Name → its pinned requirements (more than one where platforms need different versions)."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        if not line.startswith(" "):
            requirement = Requirement(line.removesuffix("\\").strip())
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def declared(*, development: bool) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        lines += extra
    if development:
        lines += project["dependency-groups"]["dev"]
    return [Requirement(line) for line in lines]


@LOCKS
def test_every_line_is_a_pin_or_its_hash(lock: str) -> None:
    """So there is no address either: no line has room for one."""
    lines = (ROOT / lock).read_text().splitlines()
    for number, line in enumerate(lines):
        if HASH.fullmatch(line):
            continue
        assert re.fullmatch(r"[a-z0-9-]+==[\w.+!]+( ; [^\\]+)? \\", line), f"line {number + 1}: {line}"
        assert HASH.fullmatch(lines[number + 1]), f"line {number + 1} has no hash"
    assert len(lines) > 100


@LOCKS
def test_everything_declared_is_locked_in_a_version_that_fits(lock: str) -> None:
    locked = entries(lock)
    for requirement in declared(development=lock == DEVELOPMENT):
        pins = locked.get(canonicalize_name(requirement.name), [])
        assert pins, f"{requirement.name} is declared, but not in {lock}: run `make lock`"
        for pin in pins:
            (specifier,) = pin.specifier
            assert requirement.specifier.contains(specifier.version, prereleases=True), f"{requirement} against {pin}"


def test_what_is_locked_for_service_is_locked_alike_for_development() -> None:
    development = entries(DEVELOPMENT)
    for name, pins in entries(RUNTIME).items():
        assert [str(pin) for pin in development.get(name, [])] == [str(pin) for pin in pins], name


@LOCKS
def test_the_lock_holds_what_is_needed_and_no_more(lock: str) -> None:
    """Follows the requirements of what is installed, from pyproject.toml on: on this platform, exactly the lock."""
    needed = closure(declared(development=lock == DEVELOPMENT))
    applying = {
        name: str(next(iter(pin.specifier)).version)
        for name, pins in entries(lock).items()
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }
    assert needed == {name: metadata.version(name) for name in needed}
    assert applying == needed


def closure(roots: list[Requirement]) -> dict[str, str]:
    """Every installed package that the roots need here, and theirs in turn, with its version."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, extra) for requirement in roots for extra in ("", *requirement.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found[name] = metadata.version(name)
        for line in metadata.requires(name) or []:
            child = Requirement(line)
            if child.marker is None or child.marker.evaluate({"extra": extra}):
                waiting += [(child, wanted) for wanted in ("", *child.extras)]
    return found


def test_the_image_takes_the_whole_build_backend_from_the_lock() -> None:
    named = re.search(r"\^\(([a-z|-]+)\)==", (ROOT / "Dockerfile").read_text())
    assert named is not None
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert set(named[1].split("|")) == set(closure([Requirement(line) for line in backend]))
