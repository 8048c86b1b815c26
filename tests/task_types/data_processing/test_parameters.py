import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from app.task_types.data_processing import DataProcessingParameters
from app.task_types.data_processing.handler import EXAMPLES
from app.task_types.data_processing.parameters import InlineRows
from app.task_types.data_processing.steps import Aggregate, Transform, Validate


def errors(source: Any, *steps: Any) -> dict[str, str]:
    """The message of each error by its JSON pointer."""
    with pytest.raises(ValidationError) as refused:
        DataProcessingParameters.model_validate({"input_source": source, "processing_steps": list(steps)})
    return {"/" + "/".join(map(str, error["loc"])): error["msg"] for error in refused.value.errors()}


def test_bare_names_become_steps_without_options() -> None:
    parameters = DataProcessingParameters.model_validate(
        {"input_source": "data_stream_1", "processing_steps": ["validate", "transform", "aggregate", "validate"]}
    )
    assert [type(step) for step in parameters.steps] == [Validate, Transform, Aggregate, Validate]
    assert all(step.model_fields_set == {"step"} for step in parameters.steps)


def test_rows_may_come_with_the_message() -> None:
    parameters = DataProcessingParameters.model_validate(
        {"input_source": {"rows": [{"a": 1}], "columns": {"a": "integer"}}, "processing_steps": ["validate"]}
    )
    assert isinstance(parameters.input_source, InlineRows)


@pytest.mark.parametrize(
    ("source", "pointer"),
    [
        (5, "/input_source"),
        (None, "/input_source"),
        (["a"], "/input_source"),
        ({}, "/input_source/rows"),
        ({"rows": []}, "/input_source/rows"),
        ({"rows": [{}]}, "/input_source"),
        ({"rows": [1]}, "/input_source/rows/0"),
        ({"rows": [{"a": 1}], "columns": {"a": "int"}}, "/input_source/columns/a"),
        ({"rows": [{"a": 1}], "path": "/etc/passwd"}, "/input_source/path"),
    ],
)
def test_what_is_no_source_is_refused_by_its_place(source: Any, pointer: str) -> None:
    assert list(errors(source, "validate")) == [pointer]


def expression(value: Any) -> dict[str, Any]:
    return {"step": "transform", "derive": [{"column": "x", "expression": value}]}


def condition(value: Any) -> dict[str, Any]:
    return {"step": "transform", "filter": value}


def metrics(*values: Any) -> dict[str, Any]:
    return {"step": "aggregate", "metrics": list(values)}


def rule(**values: Any) -> dict[str, Any]:
    return {"step": "validate", "rules": [{"column": "a", **values}]}


DERIVED = "/derive/0/expression"


@pytest.mark.parametrize(
    ("step", "pointer", "sentence"),
    [
        ("clean", "", "must be validate, transform or aggregate"),
        (None, "", "must be validate, transform or aggregate"),
        ({"name": "validate"}, "", "must be validate, transform or aggregate"),
        ({"step": ["validate"]}, "", "must be validate, transform or aggregate"),
        ({"step": "validate", "sql": "x"}, "/sql", "Extra inputs"),
        (rule(), "/rules/0", "needs at least one of"),
        (rule(format="%Y"), "/rules/0", "needs at least one of"),
        (rule(required=True, format="%Y"), "/rules/0", "format goes with a type of date or timestamp"),
        (rule(type="float"), "/rules/0/type", "should be 'text'"),
        (rule(min=1, max="2"), "/rules/0", "min and max must be of one type"),
        (rule(allowed=[]), "/rules/0/allowed", "at least 1 item"),
        (rule(required="yes"), "/rules/0/required", "valid boolean"),
        (condition({"colum": "a"}), "/filter", "one of the members column, all, any, not"),
        (condition("a > 1"), "/filter", "must be an object"),
        (condition({"column": "a", "operator": "~"}), "/filter/operator", "should be '='"),
        (condition({"column": "a", "operator": "="}), "/filter", "needs a value or another column"),
        (condition({"column": "a", "operator": "=", "value": 1, "other": "b"}), "/filter", "one of the two"),
        (condition({"column": "a", "operator": "is_null", "value": 1}), "/filter", "takes no value"),
        (condition({"column": "a", "operator": "in", "value": 1}), "/filter", "in takes a list"),
        (condition({"column": "a", "operator": "<", "value": [1]}), "/filter", "< takes one value"),
        (condition({"column": "a", "operator": "between", "value": [1]}), "/filter", "two values"),
        (condition({"column": "a", "operator": "in", "other": "b"}), "/filter", "takes a value, not another"),
        (condition({"column": "a", "operator": "contains", "value": 1}), "/filter", "contains takes a string"),
        (condition({"all": []}), "/filter/all", "at least 1 item"),
        (condition({"not": {"any": [{"column": "a", "operator": "?"}]}}), "/filter/not/any/0/operator", "'='"),
        (expression("a * 2"), DERIVED, "one of the members column, value, function, if"),
        (expression({"function": "system", "arguments": []}), DERIVED + "/function", "should be 'add'"),
        (expression({"function": "add", "arguments": [{"value": 1}]}), DERIVED, "add takes 2 to 16 arguments, not 1"),
        (expression({"function": "trim", "arguments": []}), DERIVED, "trim takes 1 arguments, not 0"),
        (
            expression({"function": "add", "arguments": [{"value": 1}, {"column": 5}]}),
            DERIVED + "/arguments/1/column",
            "valid string",
        ),
        (
            expression({"function": "truncate", "arguments": [{"value": "eon"}, {"column": "a"}]}),
            DERIVED,
            "unit of second",
        ),
        (
            expression({"function": "extract", "arguments": [{"column": "a"}, {"column": "a"}]}),
            DERIVED,
            "unit of second",
        ),
        (expression({"if": {"column": "a", "operator": "is_null"}}), DERIVED + "/then", "Field required"),
        (expression({"value": {"a": 1}}), DERIVED + "/value", "valid"),
        ({"step": "transform", "select": ["a", "a"]}, "", "select names 'a' twice"),
        ({"step": "transform", "rename": {"a": "x", "b": "x"}}, "", "rename names 'x' twice"),
        (metrics(), "/metrics", "at least 1 item"),
        (metrics({"function": "summ", "column": "a"}), "/metrics/0/function", "should be 'count'"),
        (metrics({"function": "sum"}), "/metrics/0", "sum needs a column"),
        (metrics({"function": "quantile", "column": "a"}), "/metrics/0", "quantile goes with the function quantile"),
        (metrics({"function": "sum", "column": "a", "quantile": 0.5}), "/metrics/0", "quantile goes with"),
        (
            metrics({"function": "quantile", "column": "a", "quantile": 1.5}),
            "/metrics/0/quantile",
            "less than or equal to 1",
        ),
        (metrics({"function": "count"}, {"function": "count"}), "", "would be named 'count'"),
        ({**metrics({"function": "count", "name": "k"}), "group_by": ["k"]}, "", "would be named 'k'"),
        ({"step": "aggregate", "order_by": [{"column": "z"}]}, "", "order_by names 'z'"),
        ({"step": "aggregate", "limit": 0}, "/limit", "greater than or equal to 1"),
    ],
)
def test_a_wrong_option_is_refused_by_its_place(step: Any, pointer: str, sentence: str) -> None:
    found = errors("s", step)
    place = f"/processing_steps/0{pointer}"
    assert any(where.startswith(place) and sentence in message for where, message in found.items()), found


def test_every_error_is_told_at_once() -> None:
    found = errors(5, {"step": "validate", "x": 1}, "clean")
    assert list(found) == ["/input_source", "/processing_steps/0/x", "/processing_steps/1"]


@pytest.mark.parametrize("count", [0, 51])
def test_there_are_one_to_fifty_steps(count: int) -> None:
    assert list(errors("s", *["validate"] * count)) == ["/processing_steps"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_schema_that_submitters_read_accepts_the_examples(example: dict[str, Any]) -> None:
    schema = DataProcessingParameters.model_json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(json.loads(json.dumps(example)))
    assert not validator.is_valid({**example, "processing_steps": [{"step": "validate", "x": 1}]})
