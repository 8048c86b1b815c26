"""The formats of sources: for each, the columns there are, their types, and a scan that gives their values."""

import csv
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from app.task_types.data_processing.catalogue import Source, SourceError
from app.task_types.data_processing.column_types import TypeName, guess, normalised, read_as
from app.task_types.data_processing.fragment import Fragment, bound, combine, join
from app.task_types.data_processing.options import repeated
from app.task_types.data_processing.session import Session

SAMPLE_ROWS = 10_000
"""Rows that undeclared columns and types are told from."""

GUESSED_AT_ONCE = 25
"""Columns whose types one query tells: planning takes the square of their number (300 at once took 3.4 s)."""

HEADER_LIMIT = 1 << 20
"""Characters of a CSV file's first line, so that a file without any line end is not read as a whole."""

_FROM_TEXT: tuple[TypeName, ...] = ("boolean", "integer", "number", "date", "timestamp")
_FROM_JSON: dict[str, tuple[TypeName, ...]] = {
    "text": ("date", "timestamp"),
    "number": ("integer", "number"),
    "boolean": ("boolean",),
}


class Cell(NamedTuple):
    """One column of a scan: its text, and the value that the text reads as (null where it does not)."""

    name: str
    kind: TypeName
    text: Fragment
    value: Fragment


def _told(
    session: Session, source: Source, names: Sequence[str], sample: Fragment, guesses: Sequence[Fragment]
) -> list[TypeName]:
    """The type of each column: declared, or guessed from the sample, which is read once."""
    said = {name: specification.type for name in names if (specification := source.specification(name)) is not None}
    unsaid = [index for index, name in enumerate(names) if name not in said]
    if unsaid:
        stored = session.create(sample)
        for begin in range(0, len(unsaid), GUESSED_AT_ONCE):
            batch = unsaid[begin : begin + GUESSED_AT_ONCE]
            query = combine("SELECT {} FROM {}", join(", ", [guesses[index] for index in batch]), stored)
            said.update(zip([names[index] for index in batch], session.rows(query)[0], strict=True))
        session.drop(stored)
    return [said[name] for name in names]


def _cells(source: Source, names: Sequence[str], texts: Sequence[Fragment], kinds: Sequence[TypeName]) -> list[Cell]:
    return [
        Cell(name, kind, text, read_as(text, kind, source.written(name)))
        for name, text, kind in zip(names, texts, kinds, strict=True)
    ]


def _check_names(source: Source, names: Sequence[str]) -> None:
    if twice := repeated(list(names)):
        raise SourceError(f"the source has two columns named {twice!r}")
    if missing := [name for name in source.columns if name not in names]:
        raise SourceError(f"the source has no column {missing[0]!r}, which the catalogue declares")


# -- CSV --------------------------------------------------------------------------------------------


def scan_csv(session: Session, name: str, source: Source, files: Sequence[Path]) -> tuple[Fragment, list[Cell]]:
    """A CSV source: names from the header, which all files share, or from the catalogue."""
    names = _header(name, source, files) if source.header else list(source.columns)
    _check_names(source, names)
    fields = [f"f{index}" for index in range(len(names))]
    sample = combine("SELECT * FROM {} LIMIT {}", _csv_rows(source, fields, files, keep=False), bound(SAMPLE_ROWS))
    kinds = _told(session, source, names, sample, [guess(Fragment(field), _FROM_TEXT) for field in fields])
    return _csv_rows(source, fields, files, keep=True), _cells(source, names, [Fragment(f) for f in fields], kinds)


def _csv_rows(source: Source, fields: Sequence[str], files: Sequence[Path], *, keep: bool) -> Fragment:
    rejects = "store_rejects = true, rejects_limit = 0" if keep else "ignore_errors = true"
    columns = ", ".join(f"'{field}': 'VARCHAR'" for field in fields)
    return Fragment(
        f"read_csv(?, columns = {{{columns}}}, auto_detect = false, header = ?, delim = ?, quote = ?, escape = ?, "
        f"nullstr = ?, {rejects})",
        ([str(f) for f in files], source.header, source.delimiter, source.quote, source.quote, source.null_values),
    )


def _header(name: str, source: Source, files: Sequence[Path]) -> list[str]:
    """The names in the first line, which has to be the same in all files."""
    first: list[str] | None = None
    for file in files:
        shown = f"the file {file.resolve().name} of the source {name!r}"
        try:
            names = _first_record(file, source)
        except (OSError, EOFError, UnicodeError, csv.Error, zlib.error) as error:
            raise SourceError(f"{shown} is not readable as CSV: {error}") from error
        if not names:
            raise SourceError(f"{shown} has no header")
        if first is not None and names != first:
            raise SourceError(f"{shown} has another header than the first file")
        first = names
    return first or []


def _first_record(file: Path, source: Source) -> list[str]:
    """The fields of the first record. Raises what the csv, gzip and codecs modules raise."""
    # Bytes that are no UTF-8 matter in the header alone; further down they make a malformed line.
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        lines = iter(lambda: text.readline(HEADER_LIMIT), "")
        names = next(csv.reader(lines, delimiter=source.delimiter, quotechar=source.quote), [])
    for column in names:
        column.encode()
    return names


# -- JSON lines -------------------------------------------------------------------------------------


def scan_json_lines(session: Session, source: Source, paths: list[str]) -> tuple[Fragment, list[Cell]]:
    """JSON lines: the declared columns, then the members found in the sample."""
    names = list(source.columns) + [key for key in _keys(session, paths) if key not in source.columns]
    if not names:
        raise SourceError("the source has no line that is a JSON object with members")
    pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in names]
    texts = [Fragment(f"l[{index + 1}]") for index in range(len(names))]
    kinds = _told(session, source, names, _json_sample(paths, pointers), _json_guesses(len(names)))
    return _json_scan(paths, pointers, keep=True), _cells(source, names, texts, kinds)


def _line_scan(paths: list[str], *, keep: bool) -> Fragment:
    """Whole lines as one column: a control character that JSON text cannot contain is made the delimiter."""
    rejects = "store_rejects = true, rejects_limit = 0" if keep else "ignore_errors = true"
    return Fragment(
        "read_csv(?, columns = {'line': 'VARCHAR'}, auto_detect = false, header = false, delim = '\x01', "
        f"quote = '', escape = '', {rejects})",
        (paths,),
    )


_OBJECT = Fragment("CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' END")


def _json_scan(paths: list[str], pointers: list[str], *, keep: bool) -> Fragment:
    return combine(
        "(SELECT line, CASE WHEN {} THEN json_extract_string(line, {}) END AS l FROM {} WHERE line IS NOT NULL)",
        _OBJECT,
        bound(pointers),
        _line_scan(paths, keep=keep),
    )


def _keys(session: Session, paths: list[str]) -> list[str]:
    """The members of the sampled objects, in the order in which they first come."""
    sample = combine(
        "SELECT line FROM {} WHERE {} LIMIT {}", _line_scan(paths, keep=False), _OBJECT, bound(SAMPLE_ROWS)
    )
    keyed = combine("SELECT row_number() OVER () AS r, json_keys(line) AS k FROM ({})", sample)
    placed = combine("SELECT r, unnest(k) AS key, generate_subscripts(k, 1) AS place FROM ({})", keyed)
    return [row[0] for row in session.rows(combine(
        "SELECT key FROM ({}) GROUP BY key ORDER BY min(r), min_by(place, r)", placed))]  # fmt: skip


def _json_sample(paths: list[str], pointers: list[str]) -> Fragment:
    """The JSON types `j` and the texts `l` of the members of the first objects."""
    return combine(
        "SELECT json_type(line, {0}) AS j, json_extract_string(line, {0}) AS l FROM {1} WHERE {2} LIMIT {3}",
        bound(pointers),
        _line_scan(paths, keep=False),
        _OBJECT,
        bound(SAMPLE_ROWS),
    )


def _json_guesses(count: int) -> list[Fragment]:
    """For each member the one type that the JSON types of its values and their texts agree on."""
    template = (
        "CASE WHEN bool_and({0} IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE')) FILTER ({0} <> 'NULL') THEN {1} "
        "WHEN bool_and({0} = 'BOOLEAN') FILTER ({0} <> 'NULL') THEN {2} "
        "WHEN bool_and({0} = 'VARCHAR') FILTER ({0} <> 'NULL') THEN {3} ELSE 'text' END"
    )
    guesses = []
    for index in range(1, count + 1):
        text = Fragment(f"l[{index}]")
        branches = [guess(text, _FROM_JSON[name]) for name in ("number", "boolean", "text")]
        guesses.append(combine(template, Fragment(f"j[{index}]"), *branches))
    return guesses


# -- Parquet ----------------------------------------------------------------------------------------


def scan_parquet(session: Session, source: Source, paths: list[str]) -> tuple[Fragment, list[Cell]]:
    """Parquet: names and types are the files' own; a declared type that differs is read from the text."""
    described = session.rows(Fragment("DESCRIBE SELECT * FROM read_parquet(?)", (paths,)))
    names = [row[0] for row in described]
    _check_names(source, names)
    fields = ", ".join(f"f{index}" for index in range(len(names)))
    cells = [_typed_cell(source, row[0], Fragment(f"f{index}"), row[1]) for index, row in enumerate(described)]
    # Renamed by position: a column's own name, which may be anything, is never part of a query.
    return combine("(SELECT * FROM read_parquet({}) AS t({}))", bound(paths), Fragment(fields)), cells


def _typed_cell(source: Source, name: str, column: Fragment, duckdb_type: str) -> Cell:
    value, kind = normalised(column, duckdb_type)
    said = source.specification(name)
    if said is None or said.type == kind:
        return Cell(name, kind, Fragment("CAST(NULL AS VARCHAR)"), value)
    text = combine("CAST({} AS VARCHAR)", value)
    return Cell(name, said.type, text, read_as(text, said.type, said.format))
