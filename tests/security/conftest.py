"""Fixtures for tokens and keys."""

from collections.abc import Iterator

import pytest

from tests.security.issuer import Issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer that publishes the keys of tests/security/forge.py."""
    made = Issuer()
    yield made
    made.close()
