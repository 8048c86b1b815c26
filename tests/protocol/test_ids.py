"""Task identifiers: version 7, sorted by the time they were made."""

from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from app.protocol.ids import uuid7
from app.submission.identifiers import new_task_id

MILLISECONDS = st.integers(0, 2**48 - 1)
BITS = st.integers(0, 2**74 - 1)


def test_the_example_of_the_rfc() -> None:
    """RFC 9562, appendix A.6."""
    random_bits = 0xCC3 << 62 | 0x18C4_DC0C_0C07_398F
    assert str(uuid7(0x017F22E279B0, random_bits)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(MILLISECONDS, BITS)
def test_the_form(milliseconds: int, bits: int) -> None:
    made = uuid7(milliseconds, bits)
    assert (made.version, made.variant, made.int >> 80) == (7, RFC_4122, milliseconds)


@given(MILLISECONDS, BITS, MILLISECONDS, BITS)
def test_the_order(earlier: int, bits: int, later: int, other: int) -> None:
    if earlier < later:
        assert str(uuid7(earlier, bits)) < str(uuid7(later, other))
    assert (uuid7(earlier, bits) == uuid7(earlier, other)) == (bits == other)


def test_ids_made_one_after_the_other_are_different_and_in_order() -> None:
    made = [new_task_id() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    # The first 64 bits are time; within one tick of it the rest decides, at random.
    assert [each[:18] for each in made] == sorted(each[:18] for each in made)
