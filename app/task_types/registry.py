"""The kinds of task that this service offers."""

import importlib
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points

from pydantic import PydanticUserError

from app.task_types.definition import TaskType

BUILT_IN = (
    "app.task_types.echo",
    "app.task_types.sleep",
    "app.task_types.http_request",
    "app.task_types.data_processing",
)
ENTRY_POINT_GROUP = "task_executor.task_types"


class TaskTypeError(Exception):
    """A module of task types cannot be used; the message is one sentence for the operator."""


class Registry:
    """Kinds of task by name, in the order in which they were listed."""

    def __init__(self) -> None:
        self._by_name: dict[str, TaskType] = {}

    def __iter__(self) -> Iterator[TaskType]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> TaskType | None:
        """The kind of that name, or None."""
        return self._by_name.get(name)

    def add(self, kind: TaskType) -> None:
        """Raises TaskTypeError where the name is taken by another function."""
        known = self._by_name.get(kind.name)
        if known is not None and known.handler is not kind.handler:
            raise TaskTypeError(f"the task type {kind.name!r} is defined twice: in {known.module} and in {kind.module}")
        self._by_name[kind.name] = kind

    def add_module(self, module_name: str) -> None:
        """Adds every kind of task that a module defines.

        Raises TaskTypeError where it cannot be imported or defines none.
        """
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            raise TaskTypeError(f"the module of task types {module_name!r} cannot be imported: {error}") from error
        kinds = [
            value.__task_type__
            for value in vars(module).values()
            if isinstance(getattr(value, "__task_type__", None), TaskType)
        ]
        if not kinds:
            raise TaskTypeError(f"the module {module_name!r} defines no task type: decorate a function with @task_type")
        for kind in kinds:
            self.add(kind)


def load(modules: Iterable[str] = ()) -> Registry:
    """The built-in kinds, those of installed packages (entry points), and those of the modules named."""
    registry = Registry()
    installed = (entry.value.split(":")[0] for entry in entry_points(group=ENTRY_POINT_GROUP))
    for name in (*BUILT_IN, *installed, *modules):
        registry.add_module(name)
    for kind in registry:
        _check_schema(kind)
    return registry


def _check_schema(kind: TaskType) -> None:
    """Submitters are shown the schema of the parameters; that of a built-in kind is known to be there."""
    if not kind.module.startswith(BUILT_IN):
        try:
            kind.parameters.model_json_schema()
        except PydanticUserError as error:
            raise TaskTypeError(
                f"the parameters of the task type {kind.name!r} cannot be described as a JSON Schema: {error.message}"
            ) from error
