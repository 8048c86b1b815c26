"""Request headers, in all the ways in which they may be written."""

import pytest
from starlette.requests import Request

from app.api.headers import idempotency_key_of, known_version, matches, wait_of
from app.api.problems import Problem


def request(*headers: tuple[str, str]) -> Request:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        (["wait=5"], 5),
        (["wait = 5"], 5),
        (["WAIT=5"], 5),
        (['wait="5"'], 5),
        (["respond-async, wait=5"], 5),
        (["respond-async; wait=5"], 5),
        (["respond-async", "wait=5"], 5),
        (["wait=5, wait=7"], 5),
        (["wait=0"], 0),
        (["wait=60"], 60),
        (["wait=61"], 60),
        (["wait=999999999"], 60),
        (["wait=99999999999999999999"], 60),
        (["wait"], None),
        (["wait="], None),
        (["wait=-1"], None),
        (["wait=five"], None),
        (["await=5"], None),
        (["wait=\u00b2"], None),
    ],
)
def test_the_wait_that_a_client_prefers(values: list[str], expected: int | None) -> None:
    assert wait_of(request(*(("Prefer", value) for value in values))) == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [('"3"', True), ('W/"3"', True), ('"2", "3"', True), ("*", True), ('"2"', False), ("3", False), ("", False)],
)
def test_a_validator_matches_weakly(sent: str, expected: bool) -> None:
    assert matches(request(("If-None-Match", sent)), '"3"') is expected


def test_without_a_validator_nothing_matches() -> None:
    assert not matches(request(), '"3"')


@pytest.mark.parametrize(
    ("sent", "expected"),
    [('"3"', 3), ('W/"3"', 3), ('"3-a0b1"', 3), ("*", None), ('"3", "4"', None), ('"x"', None), ("", None)],
)
def test_the_version_that_a_client_knows(sent: str, expected: int | None) -> None:
    assert known_version(request(("If-None-Match", sent))) == expected


@pytest.mark.parametrize(
    ("sent", "expected"), [("k", "k"), ('"k"', "k"), ("a b", "a b"), ('"', '"'), ("x" * 255, "x" * 255)]
)
def test_an_idempotency_key(sent: str, expected: str) -> None:
    assert idempotency_key_of(request(("Idempotency-Key", sent))) == expected


def test_no_idempotency_key() -> None:
    assert idempotency_key_of(request()) is None


@pytest.mark.parametrize("sent", ["", " ", '""', '" k"', "x" * 256, "a\tb", "\xe9", "a\x7f"])
def test_what_is_no_idempotency_key(sent: str) -> None:
    with pytest.raises(Problem) as refused:
        idempotency_key_of(request(("Idempotency-Key", sent)))
    assert refused.value.status == 422
