"""What can go wrong with the database, as the other rooms see it.

StorageError
├── StorageUnavailable   away, starting, read-only, full, out of connections: try again later (503)
│   └── Overloaded       more waits to be written than is written soon: nothing was written
├── Conflict             the task changed since it was read, or its lease is another's: nothing was written
├── DuplicateMessage     the submitter has used this message_id (or Idempotency-Key) before
└── QuotaExceeded        the submitter has as much as it may: nothing was written
"""

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class StorageError(Exception):
    """Base of all."""


class StorageUnavailable(StorageError):
    """The database cannot serve now; what was asked may or may not have been written."""


class Overloaded(StorageUnavailable):
    """So much waits to be written that what is new had better come later; nothing of it was written."""


class Conflict(StorageError):
    """The version that the change was guarded by is no longer the task's; none of it was written."""


class DuplicateMessage(StorageError):
    """The key is taken by another task of the same submitter; nothing was written."""


OF_STARTS = frozenset({"running", "held"})
"""Quotas that hold back a start, and refuse nothing."""


class QuotaExceeded(StorageError):
    """The change would take its submitter beyond a quota; none of it was written.

    `policy` is queued, stored_bytes, running or held; `limit` and `used` are numbers, of held they are None.
    """

    def __init__(self, policy: str, limit: int | None, used: int | None) -> None:
        super().__init__(f"the submitter's quota {policy} is used up")
        self.policy = policy
        self.limit = limit
        self.used = used


_AWAY = (
    OSError,
    TimeoutError,
    PoolTimeout,
    InterfaceError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresIOError,
)

_IN_THE_WAY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


def is_unavailable(error: BaseException) -> bool:
    """The error says that the database is away, not that the statement is wrong."""
    if isinstance(error, DBAPIError) and not isinstance(error, InterfaceError):
        cause = _cause_of(error)
        return error.connection_invalidated or (cause is not None and is_unavailable(cause))
    return isinstance(error, _AWAY)


def stood_in_the_way(error: BaseException) -> bool:
    """Another transaction did: a lock that could not be had in time, a deadlock, or a change to the same row.

    Nothing of the statement was written. The same statement may do well when it is tried again.
    """
    return isinstance(_cause_of(error) if isinstance(error, DBAPIError) else error, _IN_THE_WAY)


def _cause_of(error: DBAPIError) -> BaseException | None:
    """What the driver said."""
    return error.orig.__cause__ if error.orig is not None else None
