"""A ring of keys on a directory of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.security.envelopes.contents import Contents
from app.security.envelopes.key_ring import KeyRing
from app.security.envelopes.opener import Opener


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """With its first key; retired ones open messages for an hour."""
    made = KeyRing(tmp_path / "keys", overlap_s=3600)
    made.load()
    return made


@pytest.fixture
def opener(ring: KeyRing) -> Iterator[Opener]:
    """Opens with the ring."""
    made = Opener(ring)
    yield made
    made.close()


@pytest.fixture
def contents(ring: KeyRing, opener: Opener) -> Contents:
    """Seals and opens with the ring."""
    return Contents(ring, opener)
