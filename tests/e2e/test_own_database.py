"""The service on a database of its own: all of it works, and what is recorded is out of its reach."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from app.storage.embedded import SERVICE_ROLE
from tests.e2e.client import status, submit, until_over
from tests.support.service import Service
from tests.support.waiting import eventually

REFUSED = (
    "UPDATE history SET message = '{}'",
    "DELETE FROM history",
    "TRUNCATE history",
    "UPDATE history_default SET message = '{}'",
    "ALTER TABLE history DROP COLUMN hash",
    "ALTER TABLE history OWNER TO CURRENT_USER",
    "DROP TABLE history",
    "DELETE FROM tasks",
    "DROP SCHEMA public CASCADE",
    "CREATE TABLE mine (n integer)",
    "CREATE ROLE other SUPERUSER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "GRANT task_executor TO CURRENT_USER",
    "SET ROLE task_executor",
    "SET SESSION AUTHORIZATION task_executor",
    "ALTER SYSTEM SET fsync = off",
    "SET session_replication_role = replica",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT lo_import('/etc/hostname')",
)

SAID = {
    "prune": "0 tasks",
    "prune --dry-run": "nothing is dropped",
    "audit verify --all": "every history is whole",
    "keys rotate --sealing": "sealed with a new key from now on",
    "doctor": "what is recorded cannot be changed by the service's role",
}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Service]:
    """A service without any DATABASE_URL."""
    service = Service(tmp_path, None).start()
    yield service
    service.close()


async def test_the_connection_of_the_service_cannot_change_what_is_recorded(own: Service) -> None:
    async with own.client() as client:
        await until_over(client, await submit(client, "echo"))
    connection = await asyncpg.connect(own.own_database_url)
    try:
        roles = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'task-executor'"
        assert [row[0] for row in await connection.fetch(roles)] == [SERVICE_ROLE]
        assert await connection.fetchval("SELECT current_user") == SERVICE_ROLE
        for statement in REFUSED:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
    verified = own.command("audit", "verify", "--all")
    assert "every history is whole" in verified.stdout, verified.stdout + verified.stderr


async def test_nobody_connects_as_the_owner_while_it_serves(own: Service) -> None:
    owner = make_url(own.own_database_url).set(username="task_executor").render_as_string()

    async def is_refused() -> bool:
        try:
            await (await asyncpg.connect(owner)).close()
        except asyncpg.InvalidAuthorizationSpecificationError:
            return True
        return False

    await eventually(is_refused, "the owner is refused", 30)


async def test_all_that_an_operator_does_works(own: Service) -> None:
    async with own.client() as client, own.client("root", "admin") as admin:
        task = await submit(client, "echo")
        await until_over(client, task)
        # Counting begins with the first quota, under a lock.
        limited = await admin.put("/v1/admin/quotas/alice", json={"queued": 100})
        assert limited.status_code == 200, limited.text
        erased = await admin.delete(f"/v1/tasks/{task}/content")
        assert erased.status_code == 200, erased.text
        kept = await submit(client, "echo")
        await until_over(client, kept)
    for words, said in SAID.items():
        done = own.command(*words.split())
        assert (done.returncode, said in done.stdout) == (0, True), done.stdout + done.stderr
    own.kill()
    own.start()
    async with own.client() as client:
        assert (await status(client, kept))["status"] == "Completed"
    assert own.stop() == 0
    pruned = own.command("prune")
    assert pruned.returncode == 0, pruned.stderr
