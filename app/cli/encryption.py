"""Encrypting a message to the service, from whoever holds the token."""

import base64
import json
from typing import Any

from app.cli.failures import CommandFailed, Usage
from app.cli.service import Service


def envelope_of(service: Service, message: bytes) -> bytes:
    """The message as a compact JWE for the service's current key, naming the token's subject. Raises CommandFailed."""
    # Loaded here, not above: commands that encrypt nothing start without cryptography.
    from app.security.envelopes.cipher import seal  # noqa: PLC0415 - see above
    from app.security.envelopes.errors import UnusableAnswerKey  # noqa: PLC0415 - see above
    from app.security.envelopes.recipients import recipient_of_jwk  # noqa: PLC0415 - see above

    subject = _subject_of(service.token)
    try:
        recipient = recipient_of_jwk(_key_of(service.get("/.well-known/jwks.json").json()))
    except (UnusableAnswerKey, ValueError, LookupError, TypeError):
        raise CommandFailed("The service publishes no key that messages can be encrypted with.") from None
    return seal(message, recipient.key, kid=recipient.kid, sub=subject).encode()


def _key_of(document: Any) -> dict[str, Any]:
    found: dict[str, Any] = next(key for key in document["keys"] if key.get("use") == "enc")
    return found


def _subject_of(token: str | None) -> str:
    """Whose the token is, by its own word; the service checks it."""
    if token is None:
        raise Usage("An encrypted message names its sender: give a token with --token or TASK_EXECUTOR_TOKEN.")
    try:
        payload = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])
    except (ValueError, LookupError, TypeError):
        raise Usage("The token is no JWT with a subject: an encrypted message names its sender.") from None
