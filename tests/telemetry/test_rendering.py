"""Lines stay lines, terminals see text, secrets are not shown."""

import json

import pytest

from app.telemetry.rendering import ConsoleLine, json_line, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLWFsaWNl"
JWE = "eyJhbGciOiJSU0EifQ.a2V5LWtleQ.aXYtaXY.Y2lwaGVy.dGFnLXRhZw"
HOSTILE = ["\r\nfake line", "\x1b[31mred", "\x9b31mred", "a\x7fb", "\u2028split", "\x00nul", "${jndi:ldap://x}"]


@pytest.mark.parametrize("value", HOSTILE)
def test_json_line_is_one_line_that_holds_the_value_exactly(value: str) -> None:
    line = json_line({"event": value, value: "name"})
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1
    assert not any(character in line.decode()[:-1] for character in "\r\n\x1b\x9b\x7f\u2028\x00")
    assert json.loads(line) == {"event": value, value: "name"}


@pytest.mark.parametrize("value", HOSTILE)
def test_console_line_is_one_line_without_commands_for_the_terminal(value: str) -> None:
    line = ConsoleLine(colors=False)({"timestamp": "t", "level": "info", "event": value, "field": value}).decode()
    assert len(line.splitlines()) == 1
    assert not any(character in line[:-1] for character in "\r\n\x1b\x9b\x7f\u2028\x00")


def test_a_traceback_keeps_its_lines_and_loses_its_escapes() -> None:
    event = {"timestamp": "t", "level": "error", "event": "broken", "exception": "Traceback:\n  File\nBad: \x1b[2J"}
    lines = ConsoleLine(colors=False)(event).decode().splitlines()
    assert lines[-2:] == ["  File", "Bad: \\x1b[2J"]


def test_values_that_are_no_json_are_still_written() -> None:
    line = json_line({"big": 2**70, "half": "\ud800", "object": {1}})
    assert json.loads(line) == {"big": 2**70, "half": "\ud800", "object": "{1}"}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"header Authorization: Bearer {JWT}", JWT.split(".")[2]),
        (f"got {JWT} from", JWT.split(".")[1]),
        (f"envelope {JWE}.", JWE.split(".")[3]),
        ("BEARER abcdefgh12345678", "abcdefgh12345678"),
        ("postgresql://user:hunter2secret@db/tasks", "hunter2secret"),
    ],
)
def test_secrets_are_redacted(text: str, secret: str) -> None:
    shown = redact(json_line({"event": text}))
    assert secret.encode() not in shown
    assert b"[redacted]" in shown
    json.loads(shown)


@pytest.mark.parametrize("text", ["https://example.org/a?b=c@d", "the bearer of news", "eyJ is a prefix", "a:b@c"])
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redact(json_line({"event": text})) == json_line({"event": text})
