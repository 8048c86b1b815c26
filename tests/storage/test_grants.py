"""The role that the service connects as: it can do the service's work, and cannot rewrite what is recorded."""

import asyncio
import re
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import make_url

from app.storage import retention
from app.storage.erasure import Erasures
from app.storage.grants import NoSuchRole, grant_to, may_alter_history
from tests.storage.stored import Store, accepted_task, claim, open_store, started
from tests.storage.test_retention import finished, put_into_weeks, task_of
from tests.support.service import ROOT


@pytest.fixture
async def role(store: Store) -> AsyncIterator[str]:
    """A role without any right of its own."""
    name = f"service-{uuid.uuid4().hex[:12]}"
    await store.sql.execute(f'CREATE ROLE "{name}"')
    await grant_to(store.url, name)
    yield name
    await store.sql.execute(f'DROP OWNED BY "{name}"')
    await store.sql.execute(f'DROP ROLE "{name}"')


@pytest.fixture
async def limited(store: Store, role: str) -> AsyncIterator[Store]:
    """A node whose every connection has that role."""
    database = make_url(store.url).database
    await store.sql.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{database}" SET role = "{role}"')
    async with open_store(store.url, node_id="node-b") as opened:
        assert await opened.sql.fetchval("SELECT current_user") == role
        yield opened


async def test_it_can_do_all_of_the_services_work(store: Store, limited: Store) -> None:
    waiting, over = accepted_task(), started(accepted_task(), "node-b")
    await limited.put(waiting, over)
    over.complete(over.submitted_at, "{}", {})
    await limited.put(over)
    assert len(await claim(limited.leases, 10)) == 1
    assert (await limited.leases.extend([waiting.task_id])).task_ids == {waiting.task_id}
    await limited.leases.give_back([waiting.task_id])
    await limited.check_whole([waiting.task_id, over.task_id])
    erasure = await Erasures(limited.database).erase(over.task_id, "alice")
    assert erasure is not None
    await limited.sql.execute("SELECT prepare_weeks(5)")
    assert not await may_alter_history(limited.database)


async def test_it_prunes_by_the_schemas_functions(store: Store, limited: Store) -> None:
    old = finished(task_of(61), 61)
    await put_into_weeks(store, old)
    (week,) = (await retention.prune(limited.url, timedelta(days=30))).weeks
    assert (week.dropped, week.kept) == (1, 0)
    await limited.put(accepted_task(idempotency_key=old.idempotency_key))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE history SET message = '{}'",
        "DELETE FROM history",
        "TRUNCATE history",
        "DROP TABLE history",
        "ALTER TABLE history DROP COLUMN hash",
        "ALTER TABLE history DETACH PARTITION history_default",
        "UPDATE history_default SET message = '{}'",
        "CREATE TRIGGER t BEFORE INSERT ON history FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE r AS ON INSERT TO history DO INSTEAD NOTHING",
        "DELETE FROM tasks",
        "TRUNCATE tasks",
        "DROP TABLE tasks",
        "DELETE FROM idempotency_keys",
        "UPDATE idempotency_keys SET task_id = gen_random_uuid()",
        "UPDATE retention SET oldest_kept = gen_random_uuid()",
        "DELETE FROM erasures",
        "DELETE FROM prunings",
        "UPDATE alembic_version SET version_num = '0001'",
        "SELECT turn_keys()",
        "SELECT make_week('tasks', now() + interval '300 days')",
        "CREATE OR REPLACE FUNCTION erase_content(uuid, text) RETURNS SETOF erasures LANGUAGE sql AS ''",
        "CREATE ROLE other",
        "CREATE TABLE mine (n integer)",
    ],
)
async def test_what_it_must_not_do_is_refused(limited: Store, statement: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match=r"permission denied|must be owner"):
        await limited.sql.execute(statement)


async def test_a_temporary_table_does_not_stand_in_for_a_table_of_the_schemas_functions(
    store: Store, limited: Store
) -> None:
    """Its trigger would run with the rights of the owner of the function that writes to it."""
    over = started(accepted_task(), "node-b")
    over.complete(over.submitted_at, "{}", {})
    await limited.put(over)
    await limited.sql.execute("CREATE TABLE pg_temp.erasures (LIKE erasures)")
    await limited.sql.execute("GRANT ALL ON pg_temp.erasures TO PUBLIC")
    await limited.sql.execute(
        "CREATE FUNCTION pg_temp.take_over() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "CREATE TABLE public.taken_over (); RETURN NEW; END $$"
    )
    await limited.sql.execute(
        "CREATE TRIGGER t BEFORE INSERT ON pg_temp.erasures FOR EACH ROW EXECUTE FUNCTION pg_temp.take_over()"
    )
    await limited.sql.execute("SELECT erase_content($1, 'alice')", over.task_id)
    assert await store.sql.fetchval("SELECT to_regclass('public.taken_over')") is None
    assert await store.sql.fetchval("SELECT count(*) FROM public.erasures") == 1


async def test_every_function_with_its_owners_rights_looks_at_temporary_tables_last(store: Store) -> None:
    functions = await store.sql.fetch(
        "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    assert {"prepare_weeks", "prune_week", "prune_stragglers", "erase_content"} <= {each[0] for each in functions}
    for name, settings in functions:
        assert any(re.fullmatch(r"search_path=.*, pg_temp", setting) for setting in settings), name


async def test_no_table_is_left_out_whatever_else_the_process_has_loaded(store: Store, role: str) -> None:
    await store.sql.execute(f'DROP OWNED BY "{role}"')
    program = "import asyncio, sys; from app.storage.grants import grant_to; asyncio.run(grant_to(*sys.argv[1:]))"
    granting = await asyncio.create_subprocess_exec(sys.executable, "-c", program, store.url, role, cwd=ROOT)
    assert await granting.wait() == 0
    tables = await store.sql.fetch(
        "SELECT relname, has_table_privilege($1, oid, 'SELECT') FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition",
        role,
    )
    assert len(tables) > 15
    assert [name for name, is_granted in tables if not is_granted] == []


async def test_granting_again_takes_what_was_granted_besides(store: Store, role: str) -> None:
    await store.sql.execute(f'GRANT UPDATE ON history TO "{role}"')
    await grant_to(store.url, role)
    assert not await store.sql.fetchval("SELECT has_table_privilege($1, 'history', 'UPDATE')", role)


async def test_who_owns_the_tables_could_alter_them(store: Store) -> None:
    assert await may_alter_history(store.database)


async def test_a_role_that_is_not_there(store: Store) -> None:
    with pytest.raises(NoSuchRole, match="no role 'nobody; DROP TABLE tasks'"):
        await grant_to(store.url, "nobody; DROP TABLE tasks")
