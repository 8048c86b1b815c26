"""The whole schema: every table, wherever it is described."""

from app.storage import caller_tables, delivery_tables
from app.storage.tables import metadata

__all__ = ["caller_tables", "delivery_tables", "metadata"]
