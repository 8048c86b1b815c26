"""Signing secrets whose sealing key is lost: their submitter makes new ones, and webhooks are signed again."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from app.delivery.webhooks.secrets import SigningSecrets
from app.protocol.callbacks import key_of
from app.security.sealing import CannotOpen, Sealer
from app.storage.database import Database
from app.storage.deliveries import Claimed
from app.storage.webhook_secrets import WebhookSecrets

LOST, KNOWN = Sealer([bytes(32)]), Sealer([bytes(range(32))])
CLAIMED = Claimed("", 1, "alice", "", "", None, "response", None, 0, 1, 0, 0.0)


@pytest.fixture
async def stored(database_url: str) -> AsyncIterator[WebhookSecrets]:
    database = Database(database_url)
    yield WebhookSecrets(database)
    await database.close()


@pytest.mark.parametrize("shown", [False, True])
async def test_a_secret_that_does_not_open_is_replaced_by_one_that_signs(
    stored: WebhookSecrets, *, shown: bool
) -> None:
    await stored.add_first("alice", str(uuid4()), LOST.seal(b"x" * 32, "alice"))
    if shown:
        await stored.show_first("alice")
    secrets = SigningSecrets(stored, KNOWN)
    with pytest.raises(CannotOpen):
        await secrets.keys_for(CLAIMED)
    made = await secrets.create("alice", overlap_s=3600)
    assert await secrets.keys_for(CLAIMED) == [key_of(made.secret)], "the lost one does not stand in the way"
    again = await secrets.create("alice", overlap_s=3600)
    assert await secrets.keys_for(CLAIMED) == [key_of(again.secret), key_of(made.secret)]
