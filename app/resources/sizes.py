"""Sizes of requests, as far as they are told apart in what is seen of them."""

SIZES = 16
"""Requests of up to one sixteenth of the node, up to two, and so on."""


def size_of(share: float) -> int:
    """The size of a request that takes so much of the node, 0..1; sizes count from 0."""
    return min(int(share * SIZES), SIZES - 1)
