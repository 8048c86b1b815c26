"""A problem of the service as people read it."""

import pytest

from app.cli.failures import ExitCode, Refused, Unreachable, Usage


def test_the_documented_exit_codes() -> None:
    assert (Usage("").exit_code, Refused(422, {}, None).exit_code, Unreachable("").exit_code) == (2, 3, 4)
    assert [code.value for code in ExitCode] == [0, 1, 2, 3, 4, 130]


def test_every_error_with_its_pointer() -> None:
    problem = {
        "title": "The message is not acceptable",
        "detail": "2 errors",
        "task_id": "019a",
        "errors": [
            {"pointer": "/body/priority", "detail": "must be an integer"},
            {"pointer": "", "detail": "is no message"},
        ],
    }
    assert str(Refused(422, problem, None)).splitlines() == [
        "The service refused (422): The message is not acceptable: 2 errors",
        "  /body/priority: must be an integer",
        "  (the message): is no message",
        "The message is kept as the rejected task 019a.",
    ]


@pytest.mark.parametrize(
    ("status", "retry_after", "hint"),
    [
        (401, None, "task-executor token"),
        (403, None, "--role"),
        (404, None, "Check the id, or the name"),
        (413, None, "MAX_BODY_BYTES"),
        (503, "7", "in 7 seconds"),
        (429, "2", "in 2 seconds"),
    ],
)
def test_what_to_do_about_it(status: int, retry_after: str | None, hint: str) -> None:
    assert hint in str(Refused(status, {"title": "no"}, retry_after)).splitlines()[-1]


def test_a_problem_without_words_is_still_a_sentence() -> None:
    assert str(Refused(500, {}, None)) == "The service refused (500): no reason was given"
