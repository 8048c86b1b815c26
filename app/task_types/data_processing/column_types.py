"""The types that a column can have, and how text is read as each of them.

DuckDB's own casts are lenient (1.5, 0x10 and 1_000 all become integers), so a pattern comes first: a value
that is not written as its type is a dirty value, never a silently changed one.
"""

from typing import Literal, get_args

from app.task_types.data_processing.fragment import Fragment, bound, combine, join

TypeName = Literal["text", "integer", "number", "decimal", "boolean", "date", "timestamp"]
"""integer: 64 bits. number: a double. decimal: 12 digits before and 6 after the point. timestamp: UTC, microseconds."""

TYPE_NAMES: tuple[TypeName, ...] = get_args(TypeName)
NUMERIC: frozenset[TypeName] = frozenset({"integer", "number", "decimal"})
TEMPORAL: frozenset[TypeName] = frozenset({"date", "timestamp"})

STORED: dict[TypeName, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "decimal": "DECIMAL(18,6)",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
"""How DuckDB stores a column that was read from text."""

# Braces of the patterns are doubled, since the templates go through str.format.
_WHOLE = r"\s*[+-]?[0-9]+(\.0*)?\s*"
_REAL = r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
_DAY = r"\s*[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}\s*"
_MOMENT = r"\s*[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}([Tt ].*)?"

_READ: dict[TypeName, str] = {
    "text": "{0}",
    "integer": f"CASE WHEN regexp_full_match({{0}}, '{_WHOLE}') THEN TRY_CAST({{0}} AS BIGINT) END",
    "number": f"CASE WHEN regexp_full_match({{0}}, '{_REAL}') AND isfinite(TRY_CAST({{0}} AS DOUBLE)) "
    "THEN TRY_CAST({0} AS DOUBLE) END",
    "decimal": f"CASE WHEN regexp_full_match({{0}}, '{_REAL}') THEN TRY_CAST({{0}} AS DECIMAL(18,6)) END",
    "boolean": "TRY_CAST(trim({0}) AS BOOLEAN)",
    "date": f"CASE WHEN regexp_full_match({{0}}, '{_DAY}') THEN TRY_CAST({{0}} AS DATE) END",
    # A time without a zone is taken as UTC, the session's own zone.
    "timestamp": f"CASE WHEN regexp_full_match({{0}}, '{_MOMENT}') "
    "THEN CAST(TRY_CAST({0} AS TIMESTAMPTZ) AS TIMESTAMP) END",
}

_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
                       "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"})  # fmt: skip


def read_as(raw: Fragment, kind: TypeName, written: str | None = None) -> Fragment:
    """Text read as a type: null where it is not written as one.

    `written` is a strptime format for dates and timestamps.
    """
    if written is not None and kind in TEMPORAL:
        return combine(f"CAST(try_strptime({{}}, {{}}) AS {STORED[kind]})", raw, bound(written))
    return combine(_READ[kind], raw)


def kind_of(duckdb_type: str) -> TypeName | None:
    """The type that a DuckDB type counts as, or None for one that has to be turned into text."""
    if duckdb_type in _INTEGERS:
        return "integer"
    if duckdb_type.startswith("DECIMAL"):
        return "decimal"
    if duckdb_type.startswith("TIMESTAMP"):
        return "timestamp"
    by_name: dict[str, TypeName] = {
        "VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "date", "DOUBLE": "number", "FLOAT": "number",
    }  # fmt: skip
    return by_name.get(duckdb_type)


def normalised(column: Fragment, duckdb_type: str) -> tuple[Fragment, TypeName]:
    """A column of a typed file (Parquet) as one of our types: finite numbers, UTC without zone, the rest as text."""
    kind = kind_of(duckdb_type)
    if kind is None:
        return combine("CAST({} AS VARCHAR)", column), "text"
    if kind == "number":
        return combine("CASE WHEN isfinite({0}) THEN CAST({0} AS DOUBLE) END", column), kind
    if kind == "timestamp":
        return combine("CASE WHEN isfinite(CAST({0} AS TIMESTAMP)) THEN CAST({0} AS TIMESTAMP) END", column), kind
    return column, kind


def guess(sampled: Fragment, candidates: tuple[TypeName, ...]) -> Fragment:
    """An aggregate that names the first candidate every sampled text reads as; text where none fits.

    Digits with leading zeros (postcodes) and whole numbers beyond 64 bits are names, not amounts: text.
    """
    code = combine(
        f"regexp_full_match({{0}}, '[+-]?0[0-9]+') OR (regexp_full_match({{0}}, '{_WHOLE}') "
        "AND TRY_CAST({0} AS BIGINT) IS NULL)",
        sampled,
    )
    branches = [combine("WHEN count({0}) = 0 OR bool_or({1}) THEN 'text'", sampled, code)]
    for kind in candidates:
        read = read_as(sampled, kind)
        if kind == "boolean":
            # 0, 1, yes and t read as booleans where that is declared, but do not show that it was meant.
            read = combine("CASE WHEN lower({}) IN ('true', 'false') THEN true END", sampled)
        branches.append(combine(f"WHEN count({{}}) = count({{}}) THEN '{kind}'", read, sampled))
    return combine("CASE {} ELSE 'text' END", join(" ", branches))
