"""The list of revocations: the same for all nodes, and no longer than it has to be."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from app.storage import revocations
from app.storage.database import Database
from app.storage.errors import StorageUnavailable
from app.storage.revocations import Revocation, Revocations, TooManyRevocations
from tests.storage.stored import Store


class Node:
    """A node's copy of the list."""

    def __init__(self, database: Database) -> None:
        self.known: list[str] = []
        self.list = Revocations(database, self.read)

    def read(self, entries: Sequence[Revocation]) -> None:
        self.known = [entry.value for entry in entries]


@pytest.fixture
def here(store: Store) -> Node:
    return Node(store.database)


@pytest.fixture
def there(store: Store) -> Node:
    return Node(store.database)


def ahead(**span: float) -> datetime:
    return datetime.now(UTC) + timedelta(**span)


async def test_who_revokes_knows_at_once_and_the_others_when_they_look(here: Node, there: Node) -> None:
    made = await here.list.add("subject", "mallory", ahead(hours=1), "root")
    assert (made.kind, made.value, made.revoked_by) == ("subject", "mallory", "root")
    assert (here.known, there.known) == (["mallory"], [])
    await there.list.refresh()
    assert there.known == ["mallory"]
    assert await there.list.lift(made.revocation_id) == made
    assert await here.list.lift(made.revocation_id) is None
    assert (here.known, there.known) == ([], [])


async def test_revoking_again_moves_the_end_and_keeps_the_id(here: Node) -> None:
    first = await here.list.add("token_id", "t", ahead(hours=1), "root")
    again = await here.list.add("token_id", "t", ahead(hours=2), "other")
    assert (again.revocation_id, again.revoked_by) == (first.revocation_id, "other")
    assert again.until > first.until
    await here.list.add("subject", "t", ahead(hours=1), "root")
    assert here.known == ["t", "t"], "a subject is no token"


async def test_an_entry_ends_by_itself_and_is_removed_with_the_next_change(store: Store, here: Node) -> None:
    await here.list.add("subject", "short", ahead(hours=1), "root")
    await store.sql.execute("UPDATE revocations SET until = clock_timestamp()")
    await here.list.refresh()
    assert here.known == []
    await here.list.add("subject", "other", ahead(hours=1), "root")
    assert await store.sql.fetchval("SELECT count(*) FROM revocations") == 1


async def test_pages_are_newest_first(here: Node) -> None:
    made = [await here.list.add("subject", f"s{number}", ahead(hours=1), "root") for number in range(3)]
    ids = [entry.revocation_id for entry in sorted(made, key=lambda entry: entry.revocation_id, reverse=True)]
    first = await here.list.page(2, None)
    assert [entry.revocation_id for entry in first] == ids[:2]
    assert [entry.revocation_id for entry in await here.list.page(2, first[-1].revocation_id)] == ids[2:]


async def test_the_list_is_bounded(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 1)
    await here.list.add("subject", "one", ahead(hours=1), "root")
    await here.list.add("subject", "one", ahead(hours=2), "root")
    with pytest.raises(TooManyRevocations):
        await here.list.add("subject", "two", ahead(hours=1), "root")
    await here.list.refresh()
    assert here.known == ["one"]


async def test_without_the_database_the_last_list_keeps_counting() -> None:
    node = Node(Database("postgresql://nobody@127.0.0.1:1/none"))
    node.known = ["mallory"]
    with pytest.raises(StorageUnavailable):
        await node.list.refresh()
    assert node.known == ["mallory"]
