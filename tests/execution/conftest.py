"""A stage for handlers."""

import pytest

from tests.execution.node import Stage


@pytest.fixture
async def stage() -> Stage:
    """Handlers that wait for the test's word."""
    return Stage()
