"""The embedded server: a real Postgres 18 as a child of the service, for who has no Postgres of their own.

It lives and dies with the service, listens on a private Unix socket only, and keeps everything under one data
directory. server.py is its life, directory.py what lies on the disk, identity.py under which account it runs,
launcher.py the small program between the service and `postgres`. May import the standard library, psutil, asyncpg.
"""

from app.storage.embedded.errors import DataDirectoryInUse, EmbeddedPostgresError
from app.storage.embedded.server import SERVICE_ROLE, EmbeddedPostgres, running_url

__all__ = ["SERVICE_ROLE", "DataDirectoryInUse", "EmbeddedPostgres", "EmbeddedPostgresError", "running_url"]
