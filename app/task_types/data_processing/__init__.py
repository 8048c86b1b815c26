"""The `data_processing` task: a catalogued source (or rows in the message) through validate, transform and aggregate.

parameters, steps, expressions and conditions say what can be asked for; catalogue and reading open the data;
validating, transforming and aggregating turn each step into SQL; session is the locked-down DuckDB that runs it;
pipeline ties them together, handler is the task itself. No text of a user ever becomes SQL: columns have
internal names (c0, c1, ...) and values are bound.
May import task_types and protocol; duckdb is imported here and nowhere else.
"""

from app.task_types.data_processing.handler import data_processing
from app.task_types.data_processing.parameters import DataProcessingParameters

__all__ = ["DataProcessingParameters", "data_processing"]
