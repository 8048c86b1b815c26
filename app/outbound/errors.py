"""What can go wrong with a request to somebody else's address.

OutboundError
├── ForbiddenTarget   the URL, or an address that its name stands for, must not be called from here
└── NoAnswer          no whole answer came: `cause` is one fixed word, which tells nothing of what is behind the name
"""

from enum import StrEnum


class Cause(StrEnum):
    """Why there is no answer."""

    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"


class OutboundError(Exception):
    """Base of both."""


class ForbiddenTarget(OutboundError, ValueError):
    """Must not be called; the message is a clause for whoever named the URL, such as "must begin with https://"."""


class NoAnswer(OutboundError):
    """The other side has not answered, or not with HTTP."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(f"no answer: {cause}")
        self.cause = cause
