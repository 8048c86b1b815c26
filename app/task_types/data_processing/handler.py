"""The task itself."""

import importlib
from typing import Any

from app.protocol.resources import Resources
from app.task_types.context import TaskContext
from app.task_types.data_processing.parameters import DataProcessingParameters
from app.task_types.definition import task_type

EXAMPLES: tuple[dict[str, Any], ...] = (
    {"input_source": "data_stream_1", "processing_steps": ["validate", "transform", "aggregate"]},
    {
        "input_source": "data_stream_1",
        "processing_steps": [
            "validate",
            {
                "step": "transform",
                "derive": [
                    {
                        "column": "revenue",
                        "expression": {
                            "function": "multiply",
                            "arguments": [{"column": "quantity"}, {"column": "unit_price"}],
                        },
                    },
                    {
                        "column": "month",
                        "expression": {
                            "function": "truncate",
                            "arguments": [{"value": "month"}, {"column": "ordered_at"}],
                        },
                    },
                ],
                "filter": {"column": "status", "operator": "!=", "value": "cancelled"},
            },
            {
                "step": "aggregate",
                "group_by": ["month"],
                "metrics": [
                    {"function": "count", "name": "orders"},
                    {"function": "sum", "column": "revenue"},
                    {"function": "quantile", "quantile": 0.95, "column": "revenue", "name": "p95_revenue"},
                ],
            },
        ],
    },
    {
        "input_source": {
            "rows": [
                {"city": "Lagos", "celsius": 31.5},
                {"city": "Oslo", "celsius": -4.0},
                {"city": "Lagos", "celsius": 29.0},
            ]
        },
        "processing_steps": [
            {"step": "validate", "rules": [{"column": "celsius", "min": -90, "max": 60}]},
            {
                "step": "aggregate",
                "group_by": ["city"],
                "metrics": [{"function": "avg", "column": "celsius"}],
            },
        ],
    },
)


def _load_engine() -> None:
    """DuckDB, for the children: the service, which lists this kind and runs none of it, does without."""
    importlib.import_module("app.task_types.data_processing.pipeline")


@task_type(
    "data_processing",
    parameters=DataProcessingParameters,
    resources=Resources(cpu=1, memory_mb=512),
    runs_in="process",
    timeout_s=900,
    examples=EXAMPLES,
    prepare=_load_engine,
)
def data_processing(parameters: DataProcessingParameters, context: TaskContext) -> dict[str, Any]:
    """Validates, transforms and aggregates a source of the catalogue, or rows that come with the message.

    Works on data larger than its memory. Returns how many rows came in and went out, the rejected rows by reason,
    what each step did, and the aggregate (its first 1,000 rows).
    """
    from app.task_types.data_processing.pipeline import run  # noqa: PLC0415 - see _load_engine

    return run(parameters, context)
