"""The services of these tests connect as operators are advised: as a role that cannot change what is recorded."""

import pytest

from tests.support.postgres import for_service


@pytest.fixture
def service_database_url(database_url: str) -> str:
    """The test's database, for that role."""
    return for_service(database_url)
