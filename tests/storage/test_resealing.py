"""Sealed anew: every secret of webhooks, and nothing that was replaced meanwhile or does not open."""

from uuid import uuid4

from app.protocol.callbacks import Registration, sealing_purpose, sink_of
from app.security.sealing import CannotOpen, Sealer
from app.storage import resealing
from app.storage.delivery_log import DeliveryLog
from app.storage.resealing import Resealed, reseal
from app.storage.webhook_secrets import WebhookSecrets
from tests.storage.stored import Store, accepted_task

OLD, NEW, UNKNOWN = Sealer([bytes(32)]), Sealer([bytes(range(32)), bytes(32)]), Sealer([bytes(range(1, 33))])


def anew(sealed: bytes, purpose: str) -> bytes | None:
    try:
        return NEW.seal(NEW.open(sealed, purpose), purpose)
    except CannotOpen:
        return None


async def test_the_secrets_of_submitters_and_of_callbacks(store: Store) -> None:
    secrets = WebhookSecrets(store.database)
    for submitter, sealer in (("alice", OLD), ("bob", OLD), ("carol", UNKNOWN), ("dave", NEW)):
        await secrets.add_first(submitter, str(uuid4()), sealer.seal(submitter.encode(), submitter))
    task = accepted_task(
        callback=True,
        registration=Registration(
            "https://a.example/hook",
            sink_of("https://a.example", "alice"),
            None,
            "response",
            OLD.seal(b"own", sealing_purpose("alice")),
        ),
    )
    await store.put(task)
    assert await reseal(store.database, NEW.key_id, anew) == Resealed(done=3, left=1)
    for submitter in ("alice", "bob", "dave"):
        (row,) = await secrets.valid(submitter)
        assert row.sealed.startswith(NEW.key_id)
        assert NEW.open(row.sealed, submitter) == submitter.encode()
    own = await DeliveryLog(store.database).sealed_secret(task.task_id)
    assert own is not None
    assert own.startswith(NEW.key_id)
    assert NEW.open(own, sealing_purpose("alice")) == b"own"
    assert await reseal(store.database, NEW.key_id, anew) == Resealed(done=0, left=1)


async def test_in_batches_past_what_does_not_open(store: Store) -> None:
    secrets = WebhookSecrets(store.database)
    count = resealing.BATCH + 7
    async with store.database.connect() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO webhook_secrets (submitter, secret_id, sealed, created_at) "
            f"SELECT 's' || i, gen_random_uuid(), '\\x00'::bytea, now() FROM generate_series(1, {count}) AS i"
        )
    await secrets.add_first("alice", str(uuid4()), OLD.seal(b"x", "alice"))
    assert await reseal(store.database, NEW.key_id, anew) == Resealed(done=1, left=count)
