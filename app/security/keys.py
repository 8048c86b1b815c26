"""Keys that tokens are verified by: each has one algorithm and is reached by its exact kid only.

python-jose does the arithmetic. A key is built once, at the start: a PEM parsed again for each token costs more
than the check itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from jose import jwk  # type: ignore[import-untyped]  # python-jose ships no types
from jose.exceptions import JWKError  # type: ignore[import-untyped]  # python-jose ships no types

from app.security.compact import CompactToken
from app.security.errors import InvalidToken, KeyConfigurationError, UnknownKey

Algorithm = Literal["RS256", "ES256", "HS256"]

MIN_SECRET_BYTES = 32
"""RFC 7518, section 3.2: a key at least as long as the hash."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key with its one algorithm. `kid` is None where its issuer gives it none."""

    kid: str | None
    algorithm: Algorithm
    jose_key: Any

    def verifies(self, token: CompactToken) -> bool:
        """The token's signature is by this key."""
        return bool(self.jose_key.verify(token.signed, token.signature))


class KeySet:
    """The keys of the trusted issuer, by kid. Raises KeyConfigurationError where two of them have the same kid."""

    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        self._by_kid: dict[str | None, VerificationKey] = {}
        self._stand_ins: dict[str, VerificationKey] = {}
        for key in keys:
            if key.kid in self._by_kid:
                name = "without a kid" if key.kid is None else f"with the kid {key.kid!r}"
                raise KeyConfigurationError(f"two token keys {name} are configured: each needs a kid of its own")
            self._by_kid[key.kid] = key
            self._stand_ins.setdefault(key.algorithm, key)

    def check_signature(self, token: CompactToken) -> None:
        """Raises InvalidToken unless the key of exactly the token's kid signed it with that key's algorithm.

        UnknownKey where there is no key of that kid.
        A token without a kid is for the key without a kid; there is no trying of one key after the other.
        """
        key = self._by_kid.get(token.kid)
        if key is None or key.algorithm != token.algorithm:
            # Spend the time that a known kid would have cost, so that the answer does not tell which kids exist.
            if stand_in := self._stand_ins.get(token.algorithm):
                stand_in.verifies(token)
            raise (UnknownKey if key is None else InvalidToken)("no key has this kid and algorithm")
        if not key.verifies(token):
            raise InvalidToken("the signature does not fit")


def secret_key(secret: str) -> VerificationKey:
    """The HS256 key of a shared secret, its UTF-8 bytes. It has no kid, as the tokens of such issuers have none.

    Raises KeyConfigurationError where it is shorter than 32 bytes, or no secret at all (a PEM).
    """
    # What is not UTF-8 in the environment arrives as lone surrogates and becomes its bytes again.
    raw = secret.encode(errors="surrogateescape")
    if len(raw) < MIN_SECRET_BYTES:
        raise KeyConfigurationError(
            f"the HS256 secret has {len(raw)} bytes and needs at least {MIN_SECRET_BYTES}: "
            "make one with `openssl rand -base64 48`"
        )
    try:
        return VerificationKey(None, "HS256", jwk.construct(raw, "HS256"))
    except JWKError:
        raise KeyConfigurationError(
            "the HS256 secret is a key in PEM or SSH form: put public keys into a JWKS file"
        ) from None
