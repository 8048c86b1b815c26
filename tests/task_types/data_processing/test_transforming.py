from typing import Any

import pytest

from app.task_types import PermanentError
from tests.task_types.data_processing.conftest import Catalogue, Process

ROWS: dict[str, Any] = {
    "rows": [
        {"name": "ann", "n": 10, "x": 2.5, "at": "2026-03-05T10:20:30Z", "day": "2026-03-01", "ok": True},
        {"name": "Bob", "n": -3, "x": 0.0, "at": "2026-12-31T23:59:59Z", "day": "2026-12-30", "ok": False},
        {"name": None, "n": None, "x": None, "at": None, "day": None, "ok": None},
    ]
}


def column(name: str) -> dict[str, str]:
    return {"column": name}


def call(function: str, *arguments: Any) -> dict[str, Any]:
    listed = [argument if isinstance(argument, dict) else {"value": argument} for argument in arguments]
    return {"function": function, "arguments": listed}


def derived(process: Process, expression: dict[str, Any]) -> list[Any]:
    step = {"step": "transform", "derive": [{"column": "result", "expression": expression}]}
    return [row["result"] for row in process(ROWS, step)["rows"]]


N, X, NAME, AT, DAY = column("n"), column("x"), column("name"), column("at"), column("day")


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ({"value": 5}, [5, 5, 5]),
        ({"value": None}, [None, None, None]),
        (N, [10, -3, None]),
        (call("add", N, X, 1), [13.5, -2.0, None]),
        (call("subtract", N, 1), [9, -4, None]),
        (call("multiply", N, 2, 3), [60, -18, None]),
        (call("divide", N, X), [4.0, None, None]),
        (call("modulo", N, 4), [2, -3, None]),
        (call("modulo", N, 0), [None, None, None]),
        (call("absolute", N), [10, 3, None]),
        (call("round", X), [3.0, 0.0, None]),
        (call("round", call("divide", N, 3), 2), [3.33, -1.0, None]),
        (call("floor", X), [2.0, 0.0, None]),
        (call("ceiling", X), [3.0, 0.0, None]),
        (call("smallest", N, 0), [0, -3, 0]),
        (call("largest", N, 0), [10, 0, 0]),
        (call("coalesce", N, 7), [10, -3, 7]),
        (call("concat", NAME, "-", N), ["ann-10", "Bob--3", "-"]),
        (call("lower", NAME), ["ann", "bob", None]),
        (call("upper", NAME), ["ANN", "BOB", None]),
        (call("trim", call("concat", " ", NAME, " ")), ["ann", "Bob", ""]),
        (call("length", NAME), [3, 3, None]),
        (call("substring", NAME, 2), ["nn", "ob", None]),
        (call("substring", NAME, 1, 2), ["an", "Bo", None]),
        (call("replace", NAME, "n", "'"), ["a''", "Bob", None]),
        (call("truncate", "month", AT), ["2026-03-01T00:00:00Z", "2026-12-01T00:00:00Z", None]),
        (call("truncate", "week", DAY), ["2026-02-23T00:00:00Z", "2026-12-28T00:00:00Z", None]),
        (call("extract", "hour", AT), [10, 23, None]),
        (call("extract", "weekday", DAY), [0, 3, None]),
        (call("difference", "day", DAY, AT), [4, 1, None]),
        (call("subtract", call("to_date", AT), DAY), [4, 1, None]),
        (call("to_text", N), ["10", "-3", None]),
        (call("to_integer", {"value": "12"}), [12, 12, 12]),
        (call("to_integer", NAME), [None, None, None]),
        (call("to_number", N), [10.0, -3.0, None]),
        (call("to_decimal", X), [2.5, 0, None]),
        (call("to_boolean", {"value": "yes"}), [True, True, True]),
        (call("to_date", AT), ["2026-03-05", "2026-12-31", None]),
        (call("to_timestamp", DAY), ["2026-03-01T00:00:00Z", "2026-12-30T00:00:00Z", None]),
        (
            {"if": {"column": "n", "operator": ">", "value": 0}, "then": {"value": "up"}, "else": {"value": "down"}},
            ["up", "down", "down"],
        ),
        ({"if": {"column": "ok", "operator": "=", "value": True}, "then": N}, [10, None, None]),
    ],
)
def test_what_each_expression_gives(process: Process, expression: dict[str, Any], values: list[Any]) -> None:
    result = derived(process, expression)
    assert result == values
    assert [type(value) for value in result] == [type(value) for value in values]


def kept(process: Process, condition: dict[str, Any]) -> list[str | None]:
    return [row["name"] for row in process(ROWS, {"step": "transform", "filter": condition})["rows"]]


def compared(name: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"column": name, "operator": operator, **({} if value is None else {"value": value}), **more}


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (compared("n", "=", 10), ["ann"]),
        (compared("n", "!=", 10), ["Bob"]),
        (compared("n", "<", 0), ["Bob"]),
        (compared("n", "<=", -3.0), ["Bob"]),
        (compared("n", ">", -3), ["ann"]),
        (compared("n", ">=", -3), ["ann", "Bob"]),
        (compared("n", "in", [10, 11]), ["ann"]),
        (compared("n", "not_in", [10]), ["Bob"]),
        (compared("n", "between", [-3, 9]), ["Bob"]),
        (compared("n", "is_null"), [None]),
        (compared("n", "is_not_null"), ["ann", "Bob"]),
        (compared("n", ">", other="x"), ["ann"]),
        (compared("at", ">", other="day"), ["ann", "Bob"]),
        (compared("name", "contains", "o"), ["Bob"]),
        (compared("name", "starts_with", "an"), ["ann"]),
        (compared("name", "ends_with", "%"), []),
        (compared("name", "matches", "^[a-z]+$"), ["ann"]),
        (compared("ok", "=", False), ["Bob"]),
        (compared("day", ">", "2026-06-01"), ["Bob"]),
        (compared("at", "<", "2026-03-05T11:20:31+01:00"), ["ann"]),
        ({"all": [compared("n", ">", 0), compared("x", ">", 0)]}, ["ann"]),
        ({"any": [compared("n", ">", 0), compared("n", "is_null")]}, ["ann", None]),
        ({"not": compared("n", ">", 0)}, ["Bob"]),
    ],
)
def test_which_rows_each_condition_keeps(process: Process, condition: dict[str, Any], names: list[str | None]) -> None:
    assert kept(process, condition) == names


def test_everything_at_once_in_its_order(process: Process) -> None:
    result = process(
        {"rows": [{"a": " x ", "n": 1}, {"a": "  ", "n": 2}, {"a": "y", "n": 3}]},
        {
            "step": "transform",
            "trim": True,
            "derive": [
                {"column": "double", "expression": call("multiply", N, 2)},
                {"column": "n", "expression": call("add", column("double"), 1)},
            ],
            "filter": compared("n", ">", 3),
            "select": ["n", "a"],
            "rename": {"a": "letter", "n": "number"},
        },
    )
    assert result["rows"] == [{"number": 5, "letter": None}, {"number": 7, "letter": "y"}]
    assert result["columns"] == [{"name": "number", "type": "integer"}, {"name": "letter", "type": "text"}]


def test_names_can_be_exchanged(process: Process) -> None:
    result = process({"rows": [{"a": 1, "b": 2}]}, {"step": "transform", "rename": {"a": "b", "b": "a"}})
    assert result["rows"] == [{"b": 1, "a": 2}]


def test_the_bare_step_trims_where_the_source_says_nothing_else(process: Process) -> None:
    assert process({"rows": [{"a": " x "}, {"a": ""}]}, "transform")["rows"] == [{"a": "x"}, {"a": None}]


def test_the_bare_step_does_what_the_source_says(process: Process, catalogue: Catalogue) -> None:
    catalogue.add("own", 'format = "csv"\npath = "o.csv"\nsteps.transform.rename = { a = "b" }', o__csv="a\n x\n")
    assert process("own", "transform")["rows"] == [{"b": " x"}]


def test_a_mistake_in_the_sources_own_options_is_told_as_the_sources(process: Process, catalogue: Catalogue) -> None:
    catalogue.add("own", 'format = "csv"\npath = "o.csv"\nsteps.transform.select = ["z"]', o__csv="a\n1\n")
    with pytest.raises(PermanentError, match=r"the source 'own', steps/transform/select/0: there is no column 'z'"):
        process("own", "transform")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"select": ["name", "nam"]}, r"/select/1: there is no column 'nam'"),
        ({"rename": {"z": "y"}}, r"/rename: there is no column 'z'"),
        ({"rename": {"n": "x"}}, r"/rename: two columns would be named 'x'"),
        ({"filter": compared("z", "is_null")}, r"/filter/column: there is no column 'z'"),
        (
            {"filter": {"any": [compared("n", "=", 1), compared("n", "=", "1")]}},
            r"/filter/any/1/value: '1' does not fit",
        ),
        ({"filter": compared("n", "in", [1, "2"])}, r"/filter/value/1: '2' does not fit a column of type integer"),
        (
            {"filter": compared("n", "contains", "1")},
            r"/filter/column: contains needs text, and 'n' is of type integer",
        ),
        ({"filter": compared("name", "matches", "[")}, r"/filter/value: '\[' is not a regular expression"),
        ({"filter": compared("n", "<", other="name")}, r"/filter/other: 'n' is of type integer, 'name' of type text"),
        ({"filter": compared("at", "<", "soon")}, r"/filter/value: 'soon' is not a timestamp"),
        (
            {"derive": [{"column": "y", "expression": call("add", NAME, 1)}]},
            r"/derive/0/expression: cannot be computed: .*\+\(VARCHAR",
        ),
        (
            {"derive": [{"column": "y", "expression": call("add", column("z"), 1)}]},
            r"/derive/0/expression/arguments/0/column: there is no column 'z'",
        ),
        (
            {"derive": [{"column": "y", "expression": call("subtract", AT, AT)}]},
            r"/derive/0/expression: gives a value of type INTERVAL",
        ),
        (
            {"derive": [{"column": "y", "expression": call("multiply", N, 2**62)}]},
            r"/processing_steps/0: a value cannot be computed: .*[Oo]verflow",
        ),
    ],
)
def test_an_option_that_does_not_fit_the_data_is_told_by_its_member(
    process: Process, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(PermanentError, match=sentence):
        process(ROWS, {"step": "transform", **options})
