"""How Postgres carries out the hot statements: by indexes, in their order, whatever lies in the tables.

Each is planned with as many weeks as a retention of 30 days leaves, and some.
"""

import json
from typing import Any

import asyncpg
import pytest

from app.storage import ahead, claim, lines, marked_lines, queries, statement
from app.storage.database import HOT_PLAN, driver_dsn
from tests.storage.stored import Store, accepted_task

BACKLOG = 1_500
WEEKS = 12
READS_A_BACKLOG = {"Sort", "Seq Scan", "Bitmap Heap Scan"}


async def plan_of(store: Store, statement: str, types: str, values: str) -> list[dict[str, Any]]:
    """The nodes of the statement's plan on a connection such as the service has."""
    await store.sql.execute(f"SELECT prepare_weeks({WEEKS - 1})")
    connection = await asyncpg.connect(driver_dsn(store.url), server_settings=HOT_PLAN)
    try:
        await connection.execute("ANALYZE tasks")
        await connection.execute(f"PREPARE hot {types} AS {statement}")
        plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE hot ({values})")
    finally:
        await connection.close()
    return nodes_of(json.loads(plan)[0]["Plan"])


def nodes_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes_of(child))]


def indexes_of(nodes: list[dict[str, Any]]) -> set[str]:
    """The indexes used, each without the name of its partition."""
    names = {node["Index Name"] for node in nodes if "Index Name" in node}
    return {name.split("_", 2)[2] for name in names if name.startswith("tasks_")}


def weeks_of(nodes: list[dict[str, Any]]) -> set[str]:
    """The partitions that are made ready to be looked into."""
    return {node["Relation Name"] for node in nodes if node.get("Relation Name", "").startswith("tasks_")}


CLAIM = (
    "(text, float8, smallint[], text[], text[], text[], int[], timestamptz[], uuid[], text[])",
    "'node', 15, '{1}', '{alice}', '{echo}', '{x}', '{9}', '{NULL}', '{NULL}', '{}'",
)
LOOK = ("(int[], text[], text[], text[], int[])", "'{1,1,1}', '{a,a,a}', '{b,b,b}', '{c,c,c}', '{9,9,9}'")
AHEAD = ("(smallint, text, timestamptz, uuid)", "1, 'alice', NULL, '0198c1dd-0000-7000-8000-000000000000'")
MARKED_LOOK = (
    f"{LOOK[0][:-1]}, text[], timestamptz[], uuid[], timestamptz)",
    f"{LOOK[1]}, '{{a,b}}', '{{NULL,NULL}}', '{{NULL,NULL}}', now()",
)
SWEEP = (
    "(int[], text[], text[], text[], timestamptz[], uuid[], text[])",
    "'{1}', '{alice}', '{echo}', '{x}', '{NULL}', '{NULL}', '{}'",
)
LINES = "expr_coalesce_task_id_idx"


@pytest.mark.parametrize(
    ("text", "types", "values", "indexes"),
    [
        (lines.PICK + claim.TAKE, *CLAIM, {LINES, "pkey"}),
        (lines.LOOK, *LOOK, {LINES, "run_at_idx", "pkey"}),
        (marked_lines._LOOK, *MARKED_LOOK, {LINES, "run_at_idx", "pkey"}),
        (marked_lines._SWEEP, *SWEEP, {LINES}),
        (ahead._STORED, *AHEAD, {LINES}),
    ],
    ids=["claim", "look", "look from marks on", "sweep", "ahead"],
)
async def test_what_waits_is_read_off_its_index(
    store: Store, text: str, types: str, values: str, indexes: set[str]
) -> None:
    await store.put(*[accepted_task() for _ in range(BACKLOG)])
    nodes = await plan_of(store, text, types, values)
    # Weeks in which nothing is yet may be read by any index.
    week = await store.sql.fetchval("SELECT tableoid::regclass::text FROM tasks LIMIT 1")
    assert indexes_of([node for node in nodes if node.get("Relation Name") == week]) == indexes
    assert not READS_A_BACKLOG & {node["Node Type"] for node in nodes}, "for 200 of it"
    # What comes next is found by the index itself: a filter would read through a line to pass over it.
    read = [node for node in nodes if LINES in node.get("Index Name", "")]
    assert read
    assert not [node for node in read if "chr(31)" in node.get("Filter", "")]


@pytest.mark.parametrize(
    ("text", "types", "values", "index"),
    [
        (lines.LOOK, *LOOK, "run_at_idx"),
        (marked_lines._LOOK, *MARKED_LOOK, "run_at_idx"),
        (claim._OVERDUE, "(text, float8, int)", "'node', 15, 100", "deadline_idx"),
        (claim._NEARER_THAN_THEIR_RUN, "(text[], float8[], float8, int)", "'{echo}', '{5}', 5, 100", "deadline_idx"),
    ],
    ids=["look", "look from marks on", "overdue", "nearer than their run"],
)
async def test_what_is_not_due_yet_is_not_read(store: Store, text: str, types: str, values: str, index: str) -> None:
    await store.put(*[accepted_task() for _ in range(BACKLOG)])
    await store.sql.execute(
        "UPDATE tasks SET state = 'Waiting', run_at = now() + interval '1 h', deadline = now() + interval '1 h'"
    )
    nodes = await plan_of(store, text, types, values)
    week = await store.sql.fetchval("SELECT tableoid::regclass::text FROM tasks LIMIT 1")
    (read,) = [
        node for node in nodes if node.get("Relation Name") == week and node.get("Index Name", "").endswith(index)
    ]
    assert "statement_timestamp()" in read["Index Cond"], "and not in a filter over the whole index"


@pytest.mark.parametrize(
    ("text", "types", "values"),
    [
        (queries._READ_MANY, "(uuid[], uuid, uuid)", "ARRAY[{first}, {last}]::uuid[], {first}, {last}"),
        (claim._EXTEND, "(text, uuid[], uuid, uuid, float8)", "'n', ARRAY[{first}]::uuid[], {first}, {last}, 15"),
        (claim._RETURN, "(text, uuid[], uuid, uuid)", "'n', ARRAY[{first}]::uuid[], {first}, {last}"),
        (claim._WANT_CANCEL, "(uuid, text)", "{first}, 'alice'"),
    ],
)
async def test_what_is_asked_by_id_looks_into_the_weeks_of_these_ids_only(
    store: Store, text: str, types: str, values: str
) -> None:
    tasks = [accepted_task() for _ in range(2)]
    await store.put(*tasks)
    first, last = (f"'{task.task_id}'" for task in tasks)
    nodes = await plan_of(store, text, types, values.format(first=first, last=last))
    assert len(weeks_of(nodes)) == 1
    assert not READS_A_BACKLOG & {node["Node Type"] for node in nodes}


async def test_the_journal_makes_no_week_ready_for_changes_where_all_tasks_are_new(store: Store) -> None:
    connection = await asyncpg.connect(driver_dsn(store.url))
    try:
        count = len((await connection.prepare(statement.STATEMENT)).get_parameters())
    finally:
        await connection.close()
    nodes = await plan_of(store, statement.STATEMENT, "", ", ".join(["NULL"] * count))
    assert weeks_of(nodes) == set()
    assert "Sort" not in {node["Node Type"] for node in nodes}
