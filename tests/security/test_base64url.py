"""Base64url with exactly one spelling of each value."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.security import base64url


@given(st.binary(max_size=100))
@settings(database=None, deadline=None)
def test_what_was_encoded_decodes(raw: bytes) -> None:
    assert base64url.decode(base64url.encode(raw)) == raw


@given(st.binary(max_size=12))
@settings(database=None, deadline=None)
def test_a_text_that_decodes_is_the_only_one_of_its_value(text: bytes) -> None:
    try:
        raw = base64url.decode(text)
    except ValueError:
        return
    assert base64url.encode(raw) == text


def test_two_in_four_and_four_in_sixteen_last_characters_are_canonical() -> None:
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert sum(_decodes(b"A" + bytes([last])) for last in alphabet) == 4
    assert sum(_decodes(b"AA" + bytes([last])) for last in alphabet) == 16
    assert sum(_decodes(b"AAA" + bytes([last])) for last in alphabet) == 64


@pytest.mark.parametrize(
    "text", [b"A", b"AA==", b"AA=", b"AA\n", b" AA", b"A A", b"AA!", b"+A", b"/A", b"A\x00A", b"\xffA"]
)
def test_every_other_spelling_is_refused(text: bytes) -> None:
    assert not _decodes(text)


def _decodes(text: bytes) -> bool:
    try:
        base64url.decode(text)
    except ValueError:
        return False
    return True
