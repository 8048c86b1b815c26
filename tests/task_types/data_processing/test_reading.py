import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

from app.task_types import PermanentError
from tests.task_types.data_processing.conftest import Catalogue, Process

READINGS: list[dict[str, Any]] = [
    {"sensor": "a", "taken_at": "2026-03-01T10:00:00Z", "value": 1.5, "count": 3, "ok": True, "day": "2026-03-01"},
    {"sensor": 'b, the "second"', "taken_at": "2026-03-01T11:30:00.250Z", "value": -2.25, "count": 4, "ok": False,
     "day": "2026-03-02"},
    {"sensor": "a", "taken_at": None, "value": None, "count": 12, "ok": None, "day": None},
    {"sensor": "ü\nnew line", "taken_at": "2026-03-02T00:00:00Z", "value": 1e-3, "count": 0, "ok": True,
     "day": "2026-02-28"},
]  # fmt: skip
COLUMNS = {
    "sensor": "text", "taken_at": "timestamp", "value": "number", "count": "integer", "ok": "boolean", "day": "date",
}  # fmt: skip
ALL_ROWS = {"step": "transform"}
AGGREGATE = {
    "step": "aggregate",
    "group_by": ["sensor"],
    "metrics": [
        {"function": "count"},
        {"function": "sum", "column": "value"},
        {"function": "max", "column": "taken_at"},
        {"function": "min", "column": "day"},
        {"function": "count", "column": "ok", "name": "known"},
    ],
}


def as_csv(rows: list[dict[str, Any]]) -> str:
    def cell(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        text = str(value)
        return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text

    return "\n".join([",".join(COLUMNS), *(",".join(cell(row[name]) for name in COLUMNS) for row in rows)]) + "\n"


def as_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    types = ["VARCHAR", "TIMESTAMPTZ", "DOUBLE", "INTEGER", "BOOLEAN", "DATE"]
    described = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, types, strict=True))
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({described})")
        for row in rows:
            connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", list(row.values()))
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")


@pytest.fixture
def everywhere(catalogue: Catalogue) -> dict[str, Any]:
    """The same rows in every form that a source can have."""
    declared = "\n".join(f'columns.{name} = "{kind}"' for name, kind in COLUMNS.items())
    lines = "".join(json.dumps(row) + "\n" for row in READINGS)
    catalogue.add("csv", f'format = "csv"\npath = "r.csv"\n{declared}', r__csv=as_csv(READINGS))
    catalogue.add("jsonl", f'format = "jsonl"\npath = "r.jsonl"\n{declared}', r__jsonl=lines)
    catalogue.add("parquet", 'format = "parquet"\npath = "r.parquet"')
    as_parquet(READINGS, catalogue.folder / "r.parquet")
    return {
        "csv": "csv",
        "jsonl": "jsonl",
        "parquet": "parquet",
        "inline": {"rows": READINGS, "columns": COLUMNS},
        "inline, types told": {"rows": READINGS},
    }


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "inline", "inline, types told"])
def test_every_form_of_a_source_gives_the_same_answer(everywhere: dict[str, Any], process: Process, form: str) -> None:
    result = process(everywhere[form], "validate", AGGREGATE)
    assert result["rejected"]["total"] == 0
    assert result["aggregate"] == [
        {"sensor": "a", "count": 2, "sum_value": 1.5, "max_taken_at": "2026-03-01T10:00:00Z",
         "min_day": "2026-03-01", "known": 1},
        {"sensor": 'b, the "second"', "count": 1, "sum_value": -2.25, "max_taken_at": "2026-03-01T11:30:00.25Z",
         "min_day": "2026-03-02", "known": 1},
        {"sensor": "ü\nnew line", "count": 1, "sum_value": 0.001, "max_taken_at": "2026-03-02T00:00:00Z",
         "min_day": "2026-02-28", "known": 1},
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "inline", "inline, types told"])
def test_rows_come_out_as_they_went_in(everywhere: dict[str, Any], process: Process, form: str) -> None:
    result = process(everywhere[form], ALL_ROWS)
    assert {column["name"]: column["type"] for column in result["columns"]} == COLUMNS
    moments = ["2026-03-01T10:00:00Z", "2026-03-01T11:30:00.25Z", None, "2026-03-02T00:00:00Z"]
    assert result["rows"] == [{**row, "taken_at": at} for row, at in zip(READINGS, moments, strict=True)]


def told(process: Process, values: list[Any]) -> str:
    result = process({"rows": [{"v": value} for value in values]}, ALL_ROWS)
    return str(result["columns"][0]["type"])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 3], "integer"),
        ([1, 2.5], "number"),
        ([True, False, None], "boolean"),
        (["2026-01-01", "2026-12-31"], "date"),
        (["2026-01-01T00:00:00Z", "2026-01-01"], "timestamp"),
        (["1", "2"], "text"),
        (["true"], "text"),
        ([1, "one"], "text"),
        ([1, True], "text"),
        ([2**63], "text"),
        ([None, None], "text"),
        ([{"a": 1}, {"a": 2}], "text"),
        ([[1], [2]], "text"),
    ],
)
def test_types_of_json_values_are_told_from_what_they_are(process: Process, values: list[Any], kind: str) -> None:
    assert told(process, values) == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("1 2 -3", "integer"),
        ("1 2.5 -1e3", "number"),
        ("true FALSE", "boolean"),
        ("0 1", "integer"),
        ("yes no", "text"),
        ("2026-01-01 2026-02-28", "date"),
        ("2026-01-01T10:00:00Z 2026-01-01T10:00:00+02:00", "timestamp"),
        ("01067 80331", "text"),
        ("18446744073709551616 1", "text"),
        ("0x10 1", "text"),
        ("1_000 1", "text"),
        ("NaN 1", "text"),
        ("2026-02-30 2026-01-01", "text"),
    ],
)
def test_types_of_csv_columns_are_told_from_all_of_a_sample(
    process: Process, catalogue: Catalogue, values: str, kind: str
) -> None:
    catalogue.add("s", 'format = "csv"\npath = "s.csv"', s__csv="v\n" + values.replace(" ", "\n") + "\n")
    assert process("s", ALL_ROWS)["columns"] == [{"name": "v", "type": kind}]


@pytest.mark.parametrize(
    ("kind", "dirty"),
    [
        ("integer", ["1.5", "0x10", "1_000", "1e3", "abc", "9223372036854775808", "\u0661"]),
        ("number", ["1,5", "1_0", "0x1p3", "NaN", "inf", "1e999", "-"]),
        ("decimal", ["abc", "1e20", "NaN"]),
        ("boolean", ["maybe", "2"]),
        ("date", ["2026-02-30", "2026-01-01T10:00:00", "31.12.2026", "today", "infinity", "epoch"]),
        ("timestamp", ["2026-01-01 25:00:00", "now", "infinity", "10:00", "2026-13-01T00:00:00Z"]),
    ],
)
def test_what_is_not_written_as_its_type_is_dirty(process: Process, kind: str, dirty: list[str]) -> None:
    source = {"rows": [{"v": text} for text in dirty], "columns": {"v": kind}}
    result = process(source, "validate")
    assert result["rejected"]["by_reason"] == {"v.type": len(dirty)}
    assert [sample["values"]["v"] for sample in result["rejected"]["samples"]] == dirty
    assert result["rows"] == []


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("integer", " +7 ", 7),
        ("integer", "5.0", 5),
        ("integer", "-9223372036854775808", -(2**63)),
        ("number", ".5", 0.5),
        ("number", "-1.25E-2", -0.0125),
        ("decimal", "0.1", 0.1),
        ("decimal", "123456789012.123456", 123456789012.123456),
        ("boolean", " Yes ", True),
        ("boolean", "0", False),
        ("date", "2026-1-5", "2026-01-05"),
        ("timestamp", "2026-01-05", "2026-01-05T00:00:00Z"),
        ("timestamp", "2026-01-05 12:00:00+02", "2026-01-05T10:00:00Z"),
        ("timestamp", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_the_ways_in_which_a_type_may_be_written(process: Process, kind: str, written: str, value: Any) -> None:
    result = process({"rows": [{"v": written}], "columns": {"v": kind}}, ALL_ROWS)
    assert result["rows"] == [{"v": value}]


def test_dates_in_a_format_of_the_sources_own(process: Process, catalogue: Catalogue) -> None:
    catalogue.add(
        "german",
        'format = "csv"\npath = "g.csv"\ndelimiter = ";"\n'
        'columns.day = { type = "date", format = "%d.%m.%Y" }\n'
        'columns.at = { type = "timestamp", format = "%d.%m.%Y %H:%M" }',
        g__csv="day;at\n31.12.2026;01.02.2026 13:45\n2026-12-31;x\n",
    )
    result = process("german", "validate")
    assert result["rows"] == [{"day": "2026-12-31", "at": "2026-02-01T13:45:00Z"}]
    assert result["rejected"]["by_reason"] == {"day.type": 1}
    assert result["rejected"]["samples"][0]["reasons"] == ["day.type", "at.type"]


def test_csv_without_header_takes_its_names_from_the_catalogue(process: Process, catalogue: Catalogue) -> None:
    catalogue.add(
        "plain",
        'format = "csv"\npath = "p.csv"\nheader = false\ndelimiter = "\\t"\n'
        'columns.name = "text"\ncolumns.n = "integer"',
        p__csv="a\t1\nb\t2\n",
    )
    assert process("plain", ALL_ROWS)["rows"] == [{"name": "a", "n": 1}, {"name": "b", "n": 2}]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(
    process: Process, catalogue: Catalogue
) -> None:
    catalogue.add("windows", 'format = "csv"\npath = "w.csv"', w__csv=b"\xef\xbb\xbfname,n\r\na,1\r\nb,2\r\n")
    assert process("windows", ALL_ROWS)["rows"] == [{"name": "a", "n": 1}, {"name": "b", "n": 2}]


def test_lines_of_json_that_are_no_objects_are_dirty_and_empty_ones_are_nothing(
    process: Process, catalogue: Catalogue
) -> None:
    lines = '{"a": 1}\n\nnot json\n[1]\n"text"\n{"a": 2}\n{"a":\n'
    catalogue.add("mixed", 'format = "jsonl"\npath = "m.jsonl"', m__jsonl=lines)
    result = process("mixed", "validate")
    assert result["rows"] == [{"a": 1}, {"a": 2}]
    assert (result["input_rows"], result["rejected"]["by_reason"]) == (6, {"malformed": 4})
    assert [sample["text"] for sample in result["rejected"]["samples"]] == ["not json", "[1]", '"text"', '{"a":']


def test_csv_lines_of_another_length_are_malformed(process: Process, catalogue: Catalogue) -> None:
    catalogue.add("cut", 'format = "csv"\npath = "c.csv"', c__csv='a,b\n1,2\n3\n4,5,6\n7,8\n"9,1\n')
    result = process("cut", "validate")
    assert result["rows"] == [{"a": 1, "b": 2}, {"a": 7, "b": 8}]
    assert result["input_rows"] == 5
    assert result["rejected"]["by_reason"] == {"malformed": 3}
    assert [sample["line"] for sample in result["rejected"]["samples"]] == [3, 4, 6]


def test_a_wide_source_with_a_dirty_row(process: Process, catalogue: Catalogue) -> None:
    names = [f"n{number}" for number in range(150)]
    clean = ",".join(str(number) for number in range(150))
    catalogue.add(
        "wide",
        'format = "csv"\npath = "w.csv"\ncolumns.n149 = "integer"',
        w__csv="\n".join([",".join(names), clean, clean.removesuffix("149") + "x", clean]) + "\n",
    )
    result = process("wide", "validate")
    assert result["rejected"]["by_reason"] == {"n149.type": 1}
    assert result["rows"] == [{name: number for number, name in enumerate(names)}] * 2


def test_a_header_without_rows_is_a_source_of_no_rows(process: Process, catalogue: Catalogue) -> None:
    catalogue.add("empty", 'format = "csv"\npath = "e.csv"\ncolumns.a = "integer"', e__csv="a,b")
    result = process("empty", "validate", "transform", "aggregate")
    assert result["aggregate"] == [{"count": 0, "sum_a": None, "avg_a": None, "min_a": None, "max_a": None}]


def test_bytes_that_are_not_utf8_are_malformed(process: Process, catalogue: Catalogue) -> None:
    catalogue.add("latin", 'format = "csv"\npath = "l.csv"', l__csv=b"a,b\nx,1\nM\xfcller,2\ny,3\n")
    result = process("latin", "validate")
    assert result["rows"] == [{"a": "x", "b": 1}, {"a": "y", "b": 3}]
    assert result["rejected"]["by_reason"] == {"malformed": 1}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n1,x\n2\n", r"/processing_steps/0: the source has 1 rows that cannot be read .* line 3 \(malformed\)"),
        ("a,b\n1,x\nn,y\nm,z\n", r"has 2 rows that cannot be read .* first being row 2 \(a\.type\): let the step val"),
    ],
)
def test_without_a_validate_step_a_dirty_row_fails_the_task(
    process: Process, catalogue: Catalogue, content: str, sentence: str
) -> None:
    catalogue.add("dirty", 'format = "csv"\npath = "d.csv"\ncolumns.a = "integer"', d__csv=content)
    with pytest.raises(PermanentError, match=sentence):
        process("dirty", "aggregate")


@pytest.mark.parametrize(
    ("entry", "files", "sentence"),
    [
        ('format = "csv"\npath = "e.csv"', {"e__csv": ""}, r"the file e\.csv of the source 's' has no header"),
        ('format = "csv"\npath = "e.csv"', {"e__csv": "a,a\n1,2\n"}, "two columns named 'a'"),
        ('format = "csv"\npath = "e.csv"\ncolumns.b = "text"', {"e__csv": "a\n1\n"}, "no column 'b', which the cat"),
        ('format = "csv"\npath = "*.csv"', {"e__csv": "a\n1\n", "f__csv": "b\n1\n"}, r"f\.csv .* another header"),
        ('format = "csv"\npath = "e.csv.gz"', {"e__csv__gz": "a\n1\n"}, r"e\.csv\.gz .* not readable as CSV"),
        ('format = "csv"\npath = "e.csv"', {"e__csv": b"\xff\xfe\xfa\n1\n"}, r"e\.csv .* not readable as CSV"),
        ('format = "jsonl"\npath = "e.jsonl"', {"e__jsonl": "[]\n"}, "no line that is a JSON object"),
        ('format = "parquet"\npath = "e.parquet"', {"e__parquet": "a\n1\n"}, "'s' cannot be read as parquet"),
        ('format = "parquet"\npath = "e.parquet"', {"e__parquet": ""}, "'s' cannot be read as parquet"),
    ],
)
def test_a_file_that_is_not_what_the_catalogue_says_fails_the_task_by_name(
    process: Process, catalogue: Catalogue, entry: str, files: dict[str, str | bytes], sentence: str
) -> None:
    catalogue.add("s", entry, **files)
    with pytest.raises(PermanentError, match=sentence) as failed:
        process("s", "validate")
    assert str(catalogue.folder) not in str(failed.value)
    assert tempfile.gettempdir() not in str(failed.value)


def test_parquet_columns_of_other_types_become_ours(process: Process, catalogue: Catalogue) -> None:
    catalogue.add("odd", 'format = "parquet"\npath = "o.parquet"\ncolumns.n = "integer"\ncolumns.s = "number"')
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT 'NaN'::FLOAT AS f, 7::UTINYINT AS u, 1.50::DECIMAL(5,2) AS d, [1, 2] AS l, "
            "TIMESTAMP_NS '2026-01-01 10:00:00.123456789' AS t, 'infinity'::TIMESTAMP AS i, "
            "x'00ff'::BLOB AS b, '12' AS n, 'x' AS s, TIME '10:00' AS o "
            f"UNION ALL SELECT 1.5, 8, 2, NULL, NULL, NULL, NULL, '13', '2.5', NULL) "
            f"TO '{catalogue.folder / 'o.parquet'}' (FORMAT parquet)"
        )
    result = process("odd", "validate")
    assert result["rejected"]["samples"] == [{"row": 1, "reasons": ["s.type"], "values": {"s": "x"}}]
    kinds = ["number", "integer", "decimal", "text", "timestamp", "timestamp", "text", "integer", "number", "text"]
    assert [column["type"] for column in result["columns"]] == kinds
    assert result["rows"] == [
        {"f": 1.5, "u": 8, "d": 2, "l": None, "t": None, "i": None, "b": None, "n": 13, "s": 2.5, "o": None}
    ]
    typed = process("odd", {"step": "validate", "rules": [{"column": "u", "max": 7}]})
    assert typed["rejected"]["by_reason"] == {"s.type": 1, "u.max": 1}
