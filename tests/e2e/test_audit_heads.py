"""Services that run make heads of the audit trail: one of them at a time, and another one when that was killed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.security.head_signing import head_keys, read_head
from app.storage.head_files import files_in, head_in, lines_of
from tests.e2e.client import submit, until_over
from tests.storage.stored import open_store
from tests.support.service import Service
from tests.support.waiting import eventually

HEAD_S = "0.2"


def data_dir_of(service: Service) -> Path:
    return Path(service.environment["TASK_EXECUTOR_DATA_DIR"])


def lines_in(service: Service) -> Iterator[bytes]:
    for path in files_in(data_dir_of(service) / "audit"):
        yield from lines_of(path)


async def until_heads_name(service: Service, task_id: str, sequence: int) -> None:
    """Until a head that is signed names so much of a task."""
    line, keys = f"{task_id} {sequence} ".encode(), head_keys(data_dir_of(service))

    async def there() -> bool:
        named = False
        for each in lines_in(service):
            named = named or each.startswith(line)
            signed = head_in(each)
            if named and signed is not None:
                return read_head(signed, keys).tasks > 0
        return False

    await eventually(there, "a head that names the task", 60)


async def test_a_cut_tail_is_found_over_a_kill(
    start_service: Callable[..., Service], database_url: str, tmp_path: Path
) -> None:
    one = start_service(audit_head_s=HEAD_S)
    other = start_service(audit_head_s=HEAD_S)
    tasks = []
    for service in (one, other):
        async with service.client() as client:
            tasks.append(await submit(client, "echo", {}))
            await until_over(client, tasks[-1])
        await until_heads_name(other, tasks[-1], 8)
        if service is one:
            one.kill()
    verify = ("audit", "verify", "--all", "--against", str(data_dir_of(other) / "audit"))
    whole = other.command(*verify)
    assert (whole.returncode, whole.stderr) == (0, ""), whole.stdout
    assert "All that the heads name is there as it was" in whole.stdout
    async with other.client() as client:
        (tmp_path / "jwks.json").write_bytes((await client.get("/.well-known/jwks.json")).content)
    assert other.command(*verify, "--keys", str(tmp_path / "jwks.json")).returncode == 0
    async with open_store(database_url) as store:
        await store.sql.execute("DELETE FROM history WHERE task_id = $1 AND sequence > 7", tasks[0])
        await store.sql.execute(
            "UPDATE tasks SET sequence = 7, head_hash = (SELECT hash FROM history WHERE task_id = $1 AND sequence = 7) "
            "WHERE task_id = $1",
            tasks[0],
        )
    cut = other.command(*verify)
    assert cut.returncode == 1
    assert "every history is whole" in cut.stdout
    assert f"{tasks[0]} 8: missing: the head knows of" in cut.stdout
    assert f"{tasks[1]} " not in cut.stdout


@pytest.mark.parametrize("taken", [False, True])
async def test_without_heads_the_service_serves(
    start_service: Callable[..., Service], tmp_path: Path, taken: bool
) -> None:
    """Because none are wanted, or because none can be written: then the log says so."""
    (tmp_path / "taken").write_bytes(b"")
    directory = tmp_path / ("taken" if taken else "heads")
    service = start_service(audit_head_s=HEAD_S if taken else "0", audit_dir=str(directory))
    async with service.client() as client:
        await until_over(client, await submit(client, "echo", {}))

    async def said() -> bool:
        return "no head of the audit trail was made" in service.log

    if taken:
        await eventually(said, "a word in the log", 30)
    assert directory.exists() == taken
