"""Who the person at the command line is: the token given, or one made with the key of a service on this machine."""

from collections.abc import Callable
from pathlib import Path

from app.cli.failures import CommandFailed, Usage
from app.cli.service import Service, is_local
from app.protocol.roles import Role


def connect(url: str, token: str | None, role: Role = Role.SUBMITTER, private_key: Path | None = None) -> Service:
    """The service at `url`, as the holder of `token` or, left out, as this machine's user where that is possible.

    The user then has the `role`: who can read the service's own key can give any to anyone.

    Without either the service is asked without a token, and says itself what is missing. Answers are asked for
    encrypted where a `private_key` opens them; a token made here is bound to it. Raises Usage.
    """
    opener = None if private_key is None else _opener(private_key)
    own = _own_token(role, private_key) if token is None and is_local(url) else None
    return Service(url, token or own, opener)


def _own_token(role: Role, private_key: Path | None) -> str | None:
    # Loaded here, not above: half of a command's start would go into settings and cryptography, needed or not.
    from app.cli.own_token import own_token  # noqa: PLC0415 - see above

    return own_token(role, private_key)


def _opener(private_key: Path) -> Callable[[bytes], bytes]:
    # Loaded here, not above: as above.
    from app.security.envelopes.errors import InvalidEnvelope, UnusableAnswerKey  # noqa: PLC0415 - see above
    from app.security.envelopes.recipients import opener_of_file  # noqa: PLC0415 - see above

    try:
        open_ = opener_of_file(private_key.read_bytes())
    except OSError as error:
        raise Usage(f"{private_key} cannot be read: {error.strerror}") from None
    except UnusableAnswerKey as error:
        raise Usage(f"{private_key}: {error}") from None

    def open_answer(text: bytes) -> bytes:
        try:
            return open_(text)
        except InvalidEnvelope:
            raise CommandFailed(f"The answer does not open with {private_key}: is the token bound to it?") from None

    return open_answer
