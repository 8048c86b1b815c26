"""Postgres: tables, the journal (the only writer of task state), claim, queries, listen, the embedded server.

The only room that knows SQLAlchemy and asyncpg. May import protocol.
"""
