"""What goes wrong with encrypted messages and answers, as problems; see problems.py."""

from collections.abc import Callable
from typing import Any

from app.api.problem import Problem, too_large
from app.protocol.problems import MemberError
from app.security.envelopes.errors import (
    ContentUnavailable,
    EnvelopeTooLarge,
    InvalidEnvelope,
    UnusableAnswerKey,
    WrongSender,
)

CONTENT_RETRY_AFTER_S = "30"

INVALID_MESSAGE = Problem(
    400,
    "invalid-message",
    "The encrypted message cannot be opened: send a compact JWE (RSA-OAEP-256, A256GCM) for a key of this service.",
)
WRONG_SENDER = Problem(
    403,
    "wrong-sender",
    "The encrypted message must name the subject of the token that sends it: `sub` in the protected header of the JWE.",
)


def _content_unavailable(_error: ContentUnavailable) -> Problem:
    return Problem(
        503,
        "content-unavailable",
        "The task came encrypted, and this node cannot open its content: it has not the key. Its operator can mend it.",
        headers={"Retry-After": CONTENT_RETRY_AFTER_S},
    )


def _unusable_answer_key(error: UnusableAnswerKey) -> Problem:
    return Problem(
        422,
        "unusable-answer-key",
        f"Nothing can be encrypted to the key that the token is bound to (cnf.jwk): {error}.",
        errors=[MemberError("/cnf/jwk", str(error))],
    )


ENVELOPE_PROBLEMS: dict[type[Exception], Callable[[Any], Problem]] = {
    InvalidEnvelope: lambda _error: INVALID_MESSAGE,
    EnvelopeTooLarge: lambda error: too_large(error.limit),
    WrongSender: lambda _error: WRONG_SENDER,
    UnusableAnswerKey: _unusable_answer_key,
    ContentUnavailable: _content_unavailable,
}
