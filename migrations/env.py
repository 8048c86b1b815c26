"""Alembic's entry: runs the migrations over the connection that app.storage.migrations hands in."""

from alembic import context
from sqlalchemy import Connection

from app.storage.schema import metadata
from app.storage.tables import is_partition


def _is_ours(_object: object, name: str | None, kind: str, _reflected: object, _other: object) -> bool:
    """Partitions come and go by themselves; they are no part of the model."""
    return not (kind == "table" and is_partition(name))


def run(connection: Connection) -> None:
    """Runs what is asked for, all of it in one transaction."""
    context.configure(connection=connection, target_metadata=metadata, include_object=_is_ours, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
