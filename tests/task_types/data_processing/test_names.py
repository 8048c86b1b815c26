"""No text of a user is ever SQL: nasty names and values come back exactly as they went in."""

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.task_types.data_processing import DataProcessingParameters, data_processing
from tests.task_types.contexts import context

NASTY = [
    '"; DROP TABLE s1; --', "c0", "r", "p", "s1", "line", "l", 'a"b', "a'b", "?", "$1", "{0}", "{}", "%s", "\\", "/",
    "~", "~1", "a/b~c", "0", "-1", "*", "#", "$", "$.a", "$[0]", ".", "[0]", "A", "a", "ä", "Ä",
    "select", "NULL",
    "null", " ", "  x ", "\t", "\n", "\r\n", "\x01", "\x7f", "😀", "e\u0301", "é", "row_number() OVER ()",
    "/* x */", "';--", "read_text('/etc/passwd')", "NaN", "\u2028", "\ufeff",
]  # fmt: skip
# NUL and lone surrogates never get this far: the service refuses them in any message.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = st.one_of(st.sampled_from(NASTY), text.filter(bool))
values = st.one_of(st.sampled_from(NASTY), text.filter(bool))


def run(rows: list[dict[str, str]], columns: list[str], *steps: dict[str, Any]) -> dict[str, Any]:
    parameters = DataProcessingParameters.model_validate(
        {
            "input_source": {"rows": rows, "columns": dict.fromkeys(columns, "text")},
            "processing_steps": list(steps),
        }
    )
    result = data_processing(parameters, context())
    assert isinstance(result, dict)
    return result


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(columns=st.lists(names, min_size=1, max_size=5, unique=True), data=st.data())
def test_names_and_values_come_back_as_they_went_in(columns: list[str], data: st.DataObject) -> None:
    row = st.fixed_dictionaries(dict.fromkeys(columns, values))
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    result = run(rows, columns, {"step": "validate"}, {"step": "transform", "select": columns})
    assert result["rejected"]["total"] == 0
    assert [column["name"] for column in result["columns"]] == columns
    assert result["rows"] == rows


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=names, other=names, value=values, title=names)
@example(name="a", other="A", value="'", title='"')
def test_they_may_stand_wherever_an_option_takes_them(name: str, other: str, value: str, title: str) -> None:
    columns = list(dict.fromkeys([name, other]))
    row = dict.fromkeys(columns, value)
    result = run(
        [row, row],
        columns,
        {"step": "validate", "rules": [{"column": name, "allowed": [value], "min": value, "max": value}]},
        {
            "step": "transform",
            "derive": [
                {
                    "column": title,
                    "expression": {
                        "if": {"column": name, "operator": "=", "value": value},
                        "then": {"function": "concat", "arguments": [{"column": name}, {"value": value}]},
                    },
                }
            ],
            "filter": {
                "all": [
                    {
                        "column": other,
                        "operator": "in" if other != title else "is_not_null",
                        **listed(other, title, value),
                    },
                    {"column": title, "operator": "starts_with", "value": value},
                ]
            },
        },
        {
            "step": "aggregate",
            "group_by": [title],
            "metrics": [{"function": "count", "name": title + "!"}],
            "order_by": [{"column": title, "descending": True}],
        },
    )
    assert result["aggregate"] == [{title: value + value, title + "!": 2}]
    assert json.loads(json.dumps(result)) == result


def listed(other: str, title: str, value: str) -> dict[str, Any]:
    return {"value": [value]} if other != title else {}
