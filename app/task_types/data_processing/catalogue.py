"""The catalogue of sources: what a source's name in a message stands for.

A TOML file of the operator's, named by the environment variable TASK_EXECUTOR_SOURCES_FILE, and the sample
that ships with the service. An entry of the operator's replaces a shipped one of the same name.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from app.task_types.data_processing.column_types import TypeName
from app.task_types.data_processing.options import ColumnName, Options, Text
from app.task_types.data_processing.steps import StepDefaults
from app.task_types.definition import PermanentError

SOURCES_FILE_VARIABLE = "TASK_EXECUTOR_SOURCES_FILE"
SHIPPED = Path(__file__).parent / "sources" / "sources.toml"
NAMES_SHOWN = 20

OneCharacter = Annotated[str, StringConstraints(min_length=1, max_length=1)]


class ColumnSpecification(Options):
    """The type of a column, whether it may be null, and how its dates are written (strptime)."""

    type: TypeName
    required: bool = False
    format: Text | None = None


class Source(Options):
    """One entry of the catalogue. Paths are relative to the catalogue's file; `*`, `?`, `[]` and `**` match many."""

    description: str = ""
    format: Literal["csv", "jsonl", "parquet"]
    path: str | list[str]
    columns: dict[ColumnName, TypeName | ColumnSpecification] = Field(default_factory=dict)
    header: bool = True
    delimiter: OneCharacter = ","
    quote: OneCharacter = '"'
    null_values: list[str] = Field(default_factory=lambda: [""])
    steps: StepDefaults = Field(default_factory=StepDefaults)

    def specification(self, column: str) -> ColumnSpecification | None:
        """What the catalogue says of a column, if anything."""
        said = self.columns.get(column)
        return ColumnSpecification(type=said) if isinstance(said, str) else said

    def written(self, column: str) -> str | None:
        """How the dates of a column are written, where the catalogue says so."""
        said = self.specification(column)
        return said.format if said is not None else None


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source found: its entry and its files, each of which exists."""

    name: str
    source: Source
    files: tuple[Path, ...]


class SourceError(PermanentError):
    """The source that a task names cannot be used; the message says why and what is to be changed."""


def find_source(name: str, environment: Mapping[str, str]) -> OpenedSource:
    """The source of that name, looked up anew each time, so that an edited catalogue counts at once.

    Raises SourceError where the catalogue, the entry or its files are missing or wrong.
    """
    catalogues = [SHIPPED]
    if configured := environment.get(SOURCES_FILE_VARIABLE):
        catalogues.insert(0, Path(configured))
    known: list[str] = []
    for path in catalogues:
        entries = _entries(path)
        if name in entries:
            source = _source(name, entries[name])
            return OpenedSource(name, source, tuple(_files(name, source, path.parent)))
        known += entries
    shown = ", ".join(sorted(set(known))[:NAMES_SHOWN])
    raise SourceError(f"/input_source: there is no source {name!r} in the catalogue, which has {shown}")


def _entries(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"the catalogue of sources {path.name} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"the catalogue of sources {path.name} is not TOML: {error}") from error
    entries = document.get("sources", {})
    if not isinstance(entries, dict) or set(document) - {"sources"}:
        raise SourceError(f"the catalogue of sources {path.name} may have tables named [sources.NAME] only")
    return entries


def _source(name: str, entry: Any) -> Source:
    try:
        source = Source.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "/".join(str(part) for part in first["loc"]) or "its top"
        raise SourceError(f"the catalogue's entry for {name!r} is wrong at {place}: {first['msg']}") from None
    if not source.header and not source.columns:
        raise SourceError(f"the catalogue's entry for {name!r} has no header and has to name its columns")
    return source


def _files(name: str, source: Source, base: Path) -> list[Path]:
    patterns = [source.path] if isinstance(source.path, str) else source.path
    files: list[Path] = []
    for pattern in patterns:
        found = _matches(base, pattern)
        if not found:
            raise SourceError(f"the source {name!r} has no file that matches {pattern!r}")
        files += found
    for file in files:
        _check_readable(name, file)
    return list(dict.fromkeys(files))


def _matches(base: Path, pattern: str) -> list[Path]:
    # A file whose own name has a star or a bracket in it is meant itself.
    if (exact := base / pattern).is_file():
        return [exact.resolve()]
    anchor = Path(Path(pattern).anchor) if Path(pattern).is_absolute() else base
    relative = str(Path(pattern).relative_to(anchor)) if Path(pattern).is_absolute() else pattern
    try:
        return [path.resolve() for path in sorted(anchor.glob(relative)) if path.is_file()]
    except (ValueError, IndexError, NotADirectoryError):
        # What pathlib says of a pattern without any name in it, such as "." or "/".
        return []


def _check_readable(name: str, file: Path) -> None:
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise SourceError(f"the file {file.name} of the source {name!r} cannot be read: {error.strerror}") from error
