"""One node's storage on a fresh database."""

from collections.abc import AsyncIterator

import pytest

from tests.storage.stored import Store, open_store


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """The storage of the node "node-a"."""
    async with open_store(database_url) as opened:
        yield opened
