"""Base64url without padding (RFC 7515, section 2), where every value has exactly one spelling.

The standard decoder skips junk, takes padding and the other alphabet, and ignores the unused bits of the last
character: one signed token would have hundreds of spellings, and anything that is keyed by its text could be evaded.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(raw: bytes) -> bytes:
    """The canonical text."""
    return urlsafe_b64encode(raw).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """The bytes of a canonical text. Raises ValueError for every other text."""
    try:
        raw = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None
    # Encoding again and comparing refuses junk, padding, `+/` and a non-canonical last character in one step.
    if encode(raw) != text:
        raise ValueError("not canonical base64url")
    return raw
