import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import BaseModel

from app.task_types import TaskContext, task_type
from app.task_types import registry as registry_module
from app.task_types.registry import BUILT_IN, Registry, TaskTypeError, load

ONE_KIND = """
from pydantic import BaseModel
from app.task_types import TaskContext, task_type

class Parameters(BaseModel):
    pass

@task_type({name!r}, parameters=Parameters)
def handler(parameters: Parameters, context: TaskContext) -> None:
    return None
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path; what was imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_built_in_kinds_come_in_their_order() -> None:
    assert [kind.name for kind in load()] == [name.rsplit(".", 1)[1] for name in BUILT_IN]


def test_every_built_in_kind_is_described_and_its_examples_are_valid() -> None:
    for kind in load():
        assert kind.description
        assert kind.examples
        for example in kind.examples:
            kind.parameters.model_validate(example)


def test_a_kind_is_found_by_its_name() -> None:
    registry = load()
    echo = registry.get("echo")
    assert echo is not None
    assert echo.name == "echo"
    assert registry.get("Echo") is None
    assert len(registry) == len(BUILT_IN)


def test_modules_of_ones_own_come_after_the_built_in_ones(modules: Path) -> None:
    (modules / "own_kinds.py").write_text(ONE_KIND.format(name="own"))
    assert [kind.name for kind in load(["own_kinds"])][-1] == "own"


def test_the_service_lists_its_kinds_without_what_only_children_need() -> None:
    program = "import sys; from app.task_types.registry import load; load(); print('duckdb' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


def test_a_module_named_twice_counts_once(modules: Path) -> None:
    (modules / "own_kinds_once.py").write_text(ONE_KIND.format(name="own"))
    assert len(load(["own_kinds_once", "own_kinds_once"])) == len(BUILT_IN) + 1


def test_an_installed_package_brings_its_kinds(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (modules / "installed_kinds.py").write_text(ONE_KIND.format(name="installed"))
    point = EntryPoint("anything", "installed_kinds:handler", registry_module.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [point] if group == point.group else [])
    assert load().get("installed") is not None


def test_two_functions_of_one_name_are_refused(modules: Path) -> None:
    (modules / "second_echo.py").write_text(ONE_KIND.format(name="echo"))
    with pytest.raises(TaskTypeError, match=r"'echo' is defined twice: in app\.task_types\.echo and in second_echo"):
        load(["second_echo"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import nothing_of_that_name", "cannot be imported: No module named 'nothing_of_that_name'"),
        ("1 / 0", "cannot be imported: division by zero"),
        ("def broken(:", "cannot be imported: invalid syntax"),
        ("x = 1", "defines no task type"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(modules: Path, text: str, sentence: str) -> None:
    name = f"unusable_{abs(hash(text))}"
    (modules / f"{name}.py").write_text(text)
    with pytest.raises(TaskTypeError, match=f"'{name}' {sentence}"):
        Registry().add_module(name)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(TaskTypeError, match="'no_such_module' cannot be imported"):
        load(["no_such_module"])


WITHOUT_A_SCHEMA = """
from collections.abc import Callable
from pydantic import BaseModel
from app.task_types import TaskContext, task_type

class Parameters(BaseModel):
    judge: Callable[[int], int]

@task_type("undescribable", parameters=Parameters)
def handler(parameters: Parameters, context: TaskContext) -> None:
    pass
"""


def test_parameters_that_cannot_be_described_are_named(modules: Path) -> None:
    """Submitters are shown the schema: without one, the page of the interface could not be made."""
    (modules / "undescribable_kinds.py").write_text(WITHOUT_A_SCHEMA)
    with pytest.raises(TaskTypeError, match="'undescribable' cannot be described as a JSON Schema: Cannot generate"):
        load(["undescribable_kinds"])


def test_the_same_function_may_be_added_again() -> None:
    class Parameters(BaseModel):
        pass

    def handler(parameters: Parameters, context: TaskContext) -> None:
        return None

    task_type("mine", parameters=Parameters)(handler)
    registry = Registry()
    for _ in range(2):
        registry.add(handler.__task_type__)  # type: ignore[attr-defined]  # set by the decorator
    assert len(registry) == 1
