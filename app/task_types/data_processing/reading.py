"""From a source to the first table: typed columns, and for each row the values that could not be read.

Text formats are read as text alone and then parsed by column_types, so that a dirty value is known by its place
and CSV, JSON lines and inline rows mean the same. Lines that cannot be split into columns are counted apart.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from app.task_types.data_processing.catalogue import OpenedSource, Source, SourceError
from app.task_types.data_processing.compiling import first_line
from app.task_types.data_processing.formats import Cell, scan_csv, scan_json_lines, scan_parquet
from app.task_types.data_processing.fragment import Fragment, bound, combine, join
from app.task_types.data_processing.session import Session
from app.task_types.data_processing.table import WHOLE_LINE, Column, Table


@dataclass(slots=True)
class Malformed:
    """Lines that could not be split into the source's columns: how many, and the first few."""

    total: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read."""

    table: Table
    malformed: Malformed
    required: frozenset[str]


def link_files(opened: OpenedSource, directory: Path) -> list[Path]:
    """Links the source's files into the workspace under names without any meaning to DuckDB (no `*`, `?`, `[`)."""
    links = []
    for number, file in enumerate(opened.files):
        link = directory / f"{number}{'.gz' if file.suffix == '.gz' else '.data'}"
        link.symlink_to(file)
        links.append(link)
    return links


def write_inline(rows: Sequence[dict[str, Any]], directory: Path) -> Path:
    """Inline rows as JSON lines in the workspace: from there on they are a source like any other."""
    path = directory / "inline.data"
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    return path


def load(session: Session, name: str, source: Source, files: Sequence[Path], samples: int) -> Loaded:
    """Reads a source into its first table, with at most so many samples of malformed lines.

    Raises SourceError where a file is not what the catalogue says.
    """
    paths = [str(file) for file in files]
    try:
        if source.format == "parquet":
            scan, cells = scan_parquet(session, source, paths)
        elif source.format == "csv":
            scan, cells = scan_csv(session, name, source, files)
        else:
            scan, cells = scan_json_lines(session, source, paths)
        table = _first_table(session, scan, cells, lines=source.format == "jsonl")
    except duckdb.Error as error:
        raise SourceError(f"the source {name!r} cannot be read as {source.format}: {_told(error, files)}") from error
    malformed = Malformed() if source.format == "parquet" else _malformed(session, samples)
    required = frozenset(
        column for column in source.columns if (said := source.specification(column)) is not None and said.required
    )
    return Loaded(table, malformed, required)


def _told(error: Exception, files: Sequence[Path]) -> str:
    """The first line of a DuckDB error, with the files under their own names; what follows quotes the query."""
    line = first_line(error)
    for file in files:
        line = line.replace(str(file), file.resolve().name)
    return line


# -- the first table --------------------------------------------------------------------------------


def _first_table(session: Session, scan: Fragment, cells: list[Cell], *, lines: bool) -> Table:
    columns = tuple(Column(cell.name, f"c{index}", cell.kind) for index, cell in enumerate(cells))
    values = [combine("{} AS {}", cell.value, column.sql) for cell, column in zip(cells, columns, strict=True)]
    texts = [combine("{} AS {}", cell.text, Fragment(f"t{index}")) for index, cell in enumerate(cells)]
    extra = [Fragment("line"), Fragment("l IS NULL AS broken")] if lines else []
    parsed = combine(
        "SELECT {} FROM {}", join(", ", [Fragment("row_number() OVER () AS r"), *extra, *texts, *values]), scan
    )
    fields = join(", ", [column.sql for column in columns])
    stored = session.create(combine("SELECT r, {}, {} AS p FROM ({})", fields, _problems(cells, lines=lines), parsed))
    rows, dirty = session.rows(combine("SELECT count(*), count(p) FROM {}", stored))[0]
    return Table(stored, columns, rows, dirty=dirty > 0)


def _problems(cells: list[Cell], *, lines: bool) -> Fragment:
    """The cells of a row that hold text which does not read as their type; null for a clean row."""
    typed = [index for index, cell in enumerate(cells) if cell.kind != "text"]
    unread = [f"(t{index} IS NOT NULL AND c{index} IS NULL)" for index in typed]
    listed = ", ".join(
        f"CASE WHEN {condition} THEN {{'c': {index}, 'v': t{index}}} END"
        for index, condition in zip(typed, unread, strict=True)
    )
    branches = f"WHEN broken THEN [{{'c': {WHOLE_LINE}, 'v': line}}] " if lines else ""
    if unread:
        branches += f"WHEN {' OR '.join(unread)} THEN list_filter([{listed}], lambda x: x IS NOT NULL) "
    wanted = "STRUCT(c INTEGER, v VARCHAR)[]"
    return Fragment(f"CAST(CASE {branches}END AS {wanted})" if branches else f"CAST(NULL AS {wanted})")


# -- lines that are no rows -------------------------------------------------------------------------


def _malformed(session: Session, samples: int) -> Malformed:
    """What read_csv put aside: counted by line, since one line may be wrong in several ways."""
    total = session.value(Fragment("SELECT count(DISTINCT (file_id, line)) FROM reject_errors"))
    first = session.rows(
        combine(
            "SELECT line, min(error_message), any_value(left(csv_line, 200)) FROM reject_errors "
            "GROUP BY file_id, line ORDER BY file_id, line LIMIT {}",
            bound(samples),
        )
    )
    return Malformed(
        total,
        [{"line": line, "reasons": ["malformed"], "detail": detail, "text": text} for line, detail, text in first],
    )
