"""The public keys that an issuer publishes at an address (a JWKS URL).

One document of bounded size in bounded time, from exactly the address that was configured: no redirect is followed, no
proxy or password of the environment is used, and nothing is unpacked.
"""

import asyncio

import httpx

from app.security.errors import KeyConfigurationError
from app.security.jwks import MAX_FILE_BYTES, keys_from_jwks
from app.security.keys import VerificationKey

FETCH_S = 5.0
"""For the whole of a fetch, from the name's resolution to the last byte."""


class IssuerKeys:
    """Reads the keys at `url`. The client is made once: its certificates take longer to load than a fetch takes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=FETCH_S,
            headers={"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"},
        )

    async def fetch(self) -> list[VerificationKey]:
        """The signature keys that are published now. Raises KeyConfigurationError with one sentence."""
        try:
            async with asyncio.timeout(FETCH_S):
                raw = await self._read()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise KeyConfigurationError(f"the keys at {self.url} cannot be read: {_cause(error)}") from None
        try:
            # In a thread: a document of the largest size would hold up the event loop.
            return await asyncio.to_thread(keys_from_jwks, raw)
        except KeyConfigurationError as error:
            raise KeyConfigurationError(f"the keys at {self.url} are not usable: {error}") from None

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _read(self) -> bytes:
        raw = bytearray()
        async with self._client.stream("GET", self.url) as response:
            if response.status_code != httpx.codes.OK or "content-encoding" in response.headers:
                raise KeyConfigurationError(
                    f"the address {self.url} answers with status {response.status_code}, "
                    "where a plain document with status 200 is expected"
                )
            # Raw: what is packed is not unpacked.
            async for part in response.aiter_raw():
                raw += part
                if len(raw) > MAX_FILE_BYTES:
                    raise KeyConfigurationError(f"the document at {self.url} is larger than {MAX_FILE_BYTES} bytes")
        return bytes(raw)


def _cause(error: Exception) -> str:
    return f"no answer within {FETCH_S:g} seconds" if isinstance(error, TimeoutError) else str(error) or repr(error)
