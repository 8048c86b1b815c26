"""What a message may not be: each is a problem that names the member, or the rule."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.caller import PROBLEM, Caller, Json, at, message, pointers

SPECIFICATION = "/body/task_specification"
Mutation = Callable[[Json], Any]


def put(*path: str, value: Any) -> Mutation:
    """Sets a member."""

    def mutate(sent: Json) -> None:
        for name in path[:-1]:
            sent = sent[name]
        sent[path[-1]] = value

    return mutate


def drop(*path: str) -> Mutation:
    """Leaves a member out."""

    def mutate(sent: Json) -> None:
        for name in path[:-1]:
            sent = sent[name]
        del sent[path[-1]]

    return mutate


S = ("body", "task_specification")

REFUSED: list[tuple[str, Mutation, str, str]] = [
    ("no type", drop("type"), "/type", "is required"),
    ("no header", drop("header"), "/header", "is required"),
    ("no body", drop("body"), "/body", "is required"),
    ("no message_id", drop("header", "message_id"), "/header/message_id", "is required"),
    ("no timestamp", drop("header", "timestamp"), "/header/timestamp", "is required"),
    ("no specification", drop(*S), SPECIFICATION, "is required"),
    ("no priority", drop("body", "priority"), "/body/priority", "is required"),
    ("no task type", drop(*S, "type"), f"{SPECIFICATION}/type", "is required"),
    ("another message", put("type", value="task_status"), "/type", "submit_task"),
    ("unknown at the top", put("extra", value=1), "/extra", "remove it"),
    ("unknown in header", put("header", "extra", value=1), "/header/extra", "remove it"),
    ("unknown in body", put("body", "extra", value=1), "/body/extra", "remove it"),
    ("unknown in specification", put(*S, "extra", value=1), f"{SPECIFICATION}/extra", "remove it"),
    ("a slash in an unknown name", put("a/b~c", value=1), "/a~1b~0c", "remove it"),
    ("unknown parameter", put(*S, "parameters", "second", value=1), f"{SPECIFICATION}/parameters/second", "remove it"),
    ("empty id", put("header", "message_id", value=""), "/header/message_id", "at least 1"),
    ("long id", put("header", "message_id", value="x" * 256), "/header/message_id", "at most 255"),
    ("line feed in id", put("header", "message_id", value="a\nb"), "/header/message_id", "pattern"),
    ("numeric id", put("header", "message_id", value=7), "/header/message_id", "string"),
    ("time ahead", put("header", "timestamp", value="2099-01-31T10:00:00Z"), "/header/timestamp", "ahead"),
    ("time without zone", put("header", "timestamp", value="2026-01-31T10:00:00"), "/header/timestamp", "zone"),
    ("time that is none", put("header", "timestamp", value="2026-02-30T10:00:00Z"), "/header/timestamp", "exists"),
    ("time as a number", put("header", "timestamp", value=1769853600), "/header/timestamp", "RFC 3339"),
    ("deadline in the past", put("body", "deadline", value=at(seconds=-1)), "/body/deadline", "has passed"),
    ("deadline without zone", put("body", "deadline", value="2099-01-31T10:00:00"), "/body/deadline", "zone"),
    ("deadline as a word", put("body", "deadline", value="tomorrow"), "/body/deadline", "RFC 3339"),
    ("priority too high", put("body", "priority", value=32768), "/body/priority", "less than or equal to 32767"),
    ("priority too low", put("body", "priority", value=-32769), "/body/priority", "greater than or equal to -32768"),
    ("priority true", put("body", "priority", value=True), "/body/priority", "whole number"),
    ("priority 1.0", put("body", "priority", value=1.0), "/body/priority", "whole number"),
    ("priority as text", put("body", "priority", value="1"), "/body/priority", "whole number"),
    ("priority null", put("body", "priority", value=None), "/body/priority", "whole number"),
    ("parameters as a list", put(*S, "parameters", value=[1]), f"{SPECIFICATION}/parameters", "object"),
    ("a wrong parameter", put(*S, "parameters", "seconds", value="1"), f"{SPECIFICATION}/parameters/seconds", "number"),
    ("unknown type", put(*S, "type", value="slep"), f"{SPECIFICATION}/type", "did you mean 'sleep'?"),
    ("module as type", put(*S, "type", value="os.system"), f"{SPECIFICATION}/type", "offers echo, sleep"),
    ("more cpu than there is", put(*S, "resources", value={"cpu": 5}), f"{SPECIFICATION}/resources/cpu", "5"),
    ("more memory", put(*S, "resources", value={"memory_mb": 5000}), f"{SPECIFICATION}/resources/memory_mb", "4096"),
    ("a gpu where none is", put(*S, "resources", value={"gpu": 1}), f"{SPECIFICATION}/resources/gpu", "never"),
    ("negative cpu", put(*S, "resources", value={"cpu": -1}), f"{SPECIFICATION}/resources/cpu", "greater than"),
    ("unknown resource", put(*S, "resources", value={"disk": 1}), f"{SPECIFICATION}/resources/disk", "remove it"),
    (
        "unknown unit",
        put(*S, "resources", value={"custom": {"slot": 1}}),
        f"{SPECIFICATION}/resources/custom/slot",
        "its own units are licence",
    ),
    ("timeout of nothing", put(*S, "timeout_s", value=0), f"{SPECIFICATION}/timeout_s", "greater than 0"),
    ("timeout of years", put(*S, "timeout_s", value=1e9), f"{SPECIFICATION}/timeout_s", "604800"),
    ("no attempts", put(*S, "retry", value={"max_attempts": 0}), f"{SPECIFICATION}/retry/max_attempts", "1"),
    ("linear backoff", put(*S, "retry", value={"backoff": "linear"}), f"{SPECIFICATION}/retry/backoff", "exponential"),
    ("label as a number", put(*S, "labels", value={"a": 1}), f"{SPECIFICATION}/labels/a", "string"),
]


@pytest.mark.parametrize(
    ("mutate", "pointer", "fragment"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_wrong_member_is_named(alice: Caller, mutate: Mutation, pointer: str, fragment: str) -> None:
    sent = message("sleep", {"seconds": 0})
    mutate(sent)
    response = alice.post(sent)
    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM
    body = response.json()
    assert body["type"] == "urn:task-executor:problem:invalid-task"
    assert [error["detail"] for error in body["errors"] if error["pointer"] == pointer], body["errors"]
    assert fragment in next(error["detail"] for error in body["errors"] if error["pointer"] == pointer)


def test_every_mistake_is_named_at_once(alice: Caller) -> None:
    sent = message("sleep", {"seconds": -1}, priority="high", deadline="2099-01-01T00:00:00")
    sent["header"]["timestamp"] = at(minutes=10)
    sent["more"] = 1
    assert sorted(pointers(alice.post(sent))) == [
        "/body/deadline",
        "/body/priority",
        "/body/task_specification/parameters/seconds",
        "/header/timestamp",
        "/more",
    ]


def test_the_bounds_themselves_are_accepted(alice: Caller) -> None:
    for priority in (-32768, 32767):
        alice.submit(message(priority=priority))
    sent = message(message_id="x" * 255, deadline="2099-01-01T00:00:00+14:00", resources={"cpu": 4, "memory_mb": 4096})
    sent["header"]["timestamp"] = "1999-12-31T23:59:59.999999999-23:59"
    alice.submit(sent)
    sent = message()
    sent["header"]["timestamp"] = at(minutes=4)
    alice.submit(sent)


@pytest.mark.parametrize(
    "header", [None, {}, {"message_id": "x"}, {"message_id": 1, "timestamp": "2026-01-01T00:00:00Z"}]
)
def test_a_message_without_a_sound_header_is_not_kept(alice: Caller, header: Any) -> None:
    sent = message()
    sent["header"] = header
    response = alice.post(sent)
    assert response.status_code == 422
    assert "task_id" not in response.json()
    assert alice.http.get("/v1/tasks").json()["items"] == []


def with_parameters(text: str) -> bytes:
    """An echo message whose parameters are this text."""
    return json.dumps(message()).replace('"parameters": {}', f'"parameters": {text}').encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1,]",
        b"{'type': 1}",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"a": 01}',
        b'"\x01"',
        b'{"a": "\x00"}',
        b"nul",
        b"{} {}",
        b"\x1f\x8b",
    ],
)
def test_what_is_not_json_is_malformed(alice: Caller, text: bytes) -> None:
    response = alice.post(text)
    assert response.status_code == 400
    assert response.headers["content-type"] == PROBLEM
    assert response.json()["type"] == "urn:task-executor:problem:not-json"


@pytest.mark.parametrize("text", [b"null", b"[]", b"7", b'"submit_task"', b"true"])
def test_json_that_is_no_object_is_refused(alice: Caller, text: bytes) -> None:
    response = alice.post(text)
    assert response.status_code == 422
    assert pointers(response) == [""]


@pytest.mark.parametrize(
    ("parameters", "fragment"),
    [
        ('{"a": 1, "a": 2}', "'a'"),
        ('{"a": {"b": 1, "b": 1}}', "'b'"),
        ('{"a": NaN}', "NaN"),
        ('{"a": Infinity}', "Infinity"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"\\u0000": 1}', "NUL"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"a": "\\udc00\\ud800"}', "surrogate"),
        ('{"a": ' + "9" * 101 + "}", "100 digits"),
        ('{"a": ' + "9" * 4000 + "}", "100 digits"),
        ('{"a": 1e400}', "double"),
        ('{"a": ' + "[" * 29 + "]" * 29 + "}", "32"),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "32"),
        ('{"a": ' + '{"a":' * 30_000 + "1" + "}" * 30_000 + "}", "32"),
    ],
)
def test_json_that_means_different_things_to_different_readers_is_refused(
    alice: Caller, parameters: str, fragment: str
) -> None:
    response = alice.post(with_parameters(parameters))
    assert response.status_code == 422
    assert response.json()["type"] == "urn:task-executor:problem:forbidden-json"
    assert fragment in response.json()["detail"]


@pytest.mark.parametrize(
    "parameters", ['{"a": ' + "[" * 27 + "]" * 27 + "}", '{"a": "\\ud83d\\ude00"}', '{"a": 1e308}']
)
def test_what_is_just_within_the_rules_is_accepted(alice: Caller, parameters: str) -> None:
    assert alice.post(with_parameters(parameters)).status_code == 202


def test_an_object_of_a_hundred_thousand_names_is_refused(alice: Caller) -> None:
    many = ",".join(f'"{number:x}":0' for number in range(100_000))
    response = alice.post(with_parameters("{" + many + "}"))
    assert (response.status_code, response.json()["detail"]) == (422, "An object has more than 10000 names.")
    enough = ",".join(f'"{number:x}":0' for number in range(10_000))
    assert alice.post(with_parameters("{" + enough + "}")).status_code == 202
