"""A node that takes submissions and starts nothing, with the small built-in kinds of task."""

from collections.abc import AsyncIterator

import pytest

from app.task_types.registry import Registry
from tests.execution.node import Node, open_node

CAPACITY = {"cpu": 4000, "memory_mb": 1_000_000, "custom.licence": 2000}


@pytest.fixture
def registry() -> Registry:
    """The kinds `echo` and `sleep`."""
    registry = Registry()
    for module in ("app.task_types.echo", "app.task_types.sleep"):
        registry.add_module(module)
    return registry


@pytest.fixture
async def node(database_url: str, registry: Registry) -> AsyncIterator[Node]:
    """Its dispatcher is not started: what is accepted stays in the queue."""
    async with open_node(database_url, registry, capacity=CAPACITY, start=False) as opened:
        yield opened
