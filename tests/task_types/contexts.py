"""A context for handlers that are called directly, which keeps what is reported."""

import logging
from typing import Any

from app.protocol.resources import Resources
from app.task_types.context import TaskContext

Report = tuple[float, dict[str, Any]]


def context(reports: list[Report] | None = None, *, cpu: float = 1, memory_mb: int = 512) -> TaskContext:
    kept = reports if reports is not None else []
    return TaskContext(
        task_id="019ab000-0000-7000-8000-000000000000",
        message_id="m-1",
        attempt=1,
        deadline=None,
        allocation=Resources(cpu=cpu, memory_mb=memory_mb),
        logger=logging.getLogger("tests.task_types"),
        report=lambda fraction, details: kept.append((fraction, details)),
    )
