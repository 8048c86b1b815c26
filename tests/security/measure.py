"""What a token costs: `.venv/bin/python -m tests.security.measure`. The figures stand in docs/security.md.

Each figure is the best of nine rounds: the machine is shared, and the best round is the least disturbed one.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import perf_counter

from app.security.compact import read_compact
from app.security.errors import InvalidToken
from app.security.tokens import TokenVerifier
from tests.security.forge import NOW, verifier, with_header

ROUNDS = 9


def best_us(action: Callable[[], object], repeats: int) -> float:
    """Microseconds of one call."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = perf_counter()
        for _ in range(repeats):
            action()
        best = min(best, perf_counter() - begin)
    return best / repeats * 1e6


def report(what: str, action: Callable[[], object], repeats: int) -> None:
    """Prints one line."""
    sys.stdout.write(f"{what:44} {best_us(action, repeats):8.2f} us\n")


def refuse(front: TokenVerifier, token: bytes) -> None:
    """Verifies a bad token."""
    with suppress(InvalidToken):
        front.verify(token, NOW)


def main() -> None:
    """Prints the table."""
    front = verifier()
    for algorithm in ("RS256", "ES256", "HS256"):
        token = with_header(algorithm).encode()
        report(f"{algorithm} verified anew", partial(front._verify_anew, token, NOW), 500)
        report(f"{algorithm} signature alone", partial(front._keys.check_signature, read_compact(token)), 500)
        front.verify(token, NOW)
        report(f"{algorithm} remembered", partial(front.verify, token, NOW), 50_000)
    report("HS256 with a false signature, refused", partial(refuse, front, token[:-43] + b"A" * 43), 500)
    report("not canonical base64url, refused", partial(refuse, front, token + b"="), 500)


if __name__ == "__main__":
    main()
