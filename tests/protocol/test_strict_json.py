"""JSON read strictly: what others let through, and agreement with the standard library on all that is accepted."""

import gc
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.protocol import strict_json
from app.protocol.strict_json import MAX_DEPTH, MAX_INTEGER_DIGITS, ForbiddenJson, NotJson, parse


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"{", b"{]", b"{'a':1}", b'{"a":1,}', b"[1,]", b"01", b"+1", b".5", b"1.", b"0x1", b"nul", b"True",
        b'"\x01"', b'"\n"', b'{"a":1} x', b'{"a":1}{}', b"// c\n1", b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"',
        b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b'"\\x41"', b'"\\u12"', "\uff11".encode(), b"\xc2\xa01", b"{1:2}",
    ],
)  # fmt: skip
def test_what_is_no_json(raw: bytes) -> None:
    with pytest.raises(NotJson):
        parse(raw)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"a":1,"a":1}', "'a' appears twice"),
        (b'[{"b":{"a":1,"\\u0061":2}}]', "'a' appears twice"),
        (b"NaN", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b'{"a":Infinity}', "Infinity is not JSON"),
        (b"1e400", "beyond the range of a double"),
        (b"-1e400", "beyond the range of a double"),
        (b"9" * 101, "more than 100 digits"),
        (b"-" + b"9" * 101, "more than 100 digits"),
        (b"9" * 100_000, "more than 100 digits"),
        (b'"\\u0000"', "NUL"),
        (b'{"\\u0000":1}', "NUL"),
        (b'[[{"a":["x\\u0000"]}]]', "NUL"),
        (b'"\\ud800"', "surrogate"),
        (b'"\\udc00\\ud800"', "surrogate"),
        (b'{"a\\ud83d":1}', "surrogate"),
        (b"[" * 33 + b"]" * 33, "nested deeper than 32"),
        (b"[" * 32 + b"{}" + b"]" * 32, "nested deeper than 32"),
        (b"[" * 33 + b"1" + b"]" * 33, "nested deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested deeper than 32"),
        (b"[" * 500_000 + b"]" * 500_000, "nested deeper than 32"),
        (b'{"a":' * 150_000 + b"1" + b"}" * 150_000, "nested deeper than 32"),
    ],
)
def test_what_is_json_and_not_taken(raw: bytes, why: str) -> None:
    with pytest.raises(ForbiddenJson, match=why):
        parse(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH,
        b'{"a":' * MAX_DEPTH + b"null" + b"}" * MAX_DEPTH,
        b"[" + b"[]," * 5000 + b"{}]",
        b"9" * MAX_INTEGER_DIGITS,
        b"-" + b"9" * MAX_INTEGER_DIGITS,
        b"1.7976931348623157e308",
        b"1e-400",
        b"-0",
        b"-0.0",
        b'"\\ud83d\\ude00 \\u0001 \\u00e9"',
        '{"é":"中"}'.encode(),
        b' \t\r\n{"a" : [ ] } \n',
        b'{"a":1,"A":1,"a ":1}',
        b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["',
        b'"\x7f"',
    ],
)
def test_what_is_taken_means_what_it_always_meant(raw: bytes) -> None:
    assert parse(raw) == json.loads(raw)


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**40), 10**40), st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(st.characters(
        exclude_categories=["Cs"], exclude_characters="\x00")), inner)),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(value=values, ascii_only=st.booleans())
def test_it_reads_back_what_was_written(value: Any, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert parse(raw) == value


tricky = st.text('[]{}"\\\\,:a', max_size=6)
nested = st.recursive(
    st.one_of(st.none(), tricky),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(tricky, inner, max_size=4)),
    max_leaves=30,
)


def depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max((depth(inner) for inner in (value.values() if isinstance(value, dict) else value)), default=0)


@settings(max_examples=500, deadline=None)
@given(value=nested, compact=st.booleans())
def test_the_depth_is_that_of_the_value_whatever_strings_look_like(value: Any, compact: bool) -> None:
    raw = json.dumps(value, separators=(",", ":") if compact else None).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "MAX_DEPTH", 3)
        if depth(value) > 3 and raw.count(b"[") + raw.count(b"{") > 3:
            with pytest.raises(ForbiddenJson, match="nested deeper"):
                parse(raw)
        else:
            assert parse(raw) == value


def test_a_look_at_the_depth_costs_little_more_than_the_reading() -> None:
    # Measured: 68 ms beside 37. A walk through the value took 380.
    deep = b"[" + b",".join([b"[" * 30 + b"]" * 30] * 17_000) + b"]"
    gc.disable()
    try:
        assert least_s(lambda: strict_json._check_depth(deep)) < 4 * least_s(lambda: json.loads(deep))
    finally:
        gc.enable()


def least_s(call: Callable[[], object]) -> float:
    """Seconds of processor time, the best of three."""
    found = []
    for _ in range(3):
        begin = time.process_time()
        call()
        found.append(time.process_time() - begin)
    return min(found)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.text('{}[]":,\\u0dEe+-.19aNn \x00é', max_size=40).map(str.encode)))
def test_it_accepts_nothing_that_the_standard_library_refuses(raw: bytes) -> None:
    try:
        value = parse(raw)
    except (NotJson, ForbiddenJson):
        return
    assert repr(value) == repr(json.loads(raw))
