"""What goes wrong in this room.

InvalidToken             one request: always the same 401, whatever the cause
└── UnknownKey           its key may have been published since the keys were read
RateLimited              one request: 429, with the policy that it would have violated
KeyConfigurationError    the start: the service refuses to run with these keys
"""

from app.protocol.rates import Rate


class InvalidToken(Exception):
    """The bearer token is not accepted.

    `cause` is one fixed sentence for the security log. It never repeats what the token says, so that it cannot
    carry an attacker's text into the log, and it never reaches the client, who gets one 401 for every cause.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class UnknownKey(InvalidToken):
    """No key has the token's kid: worth another look at where the keys come from."""


class KeyConfigurationError(Exception):
    """Keys are missing, malformed, too weak or readable by others. The message is one sentence for the operator."""


class RateLimited(Exception):
    """More calls than `policy` allows. `retry_after_s` whole seconds until so many (`cost`) are let through."""

    def __init__(self, policy: str, rate: Rate, retry_after_s: int, cost: int = 1) -> None:
        super().__init__(f"more than {rate} ({policy})")
        self.policy = policy
        self.rate = rate
        self.retry_after_s = retry_after_s
        self.cost = cost
