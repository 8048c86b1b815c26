"""The webhooks of a service: the sender with its courier, the secrets that sign, and what is known of it all."""

import logging
from contextlib import AsyncExitStack

from app.bootstrap.storage import Storage
from app.delivery.acknowledgements import Acknowledgements
from app.delivery.webhooks.content import Bodies
from app.delivery.webhooks.courier import Courier
from app.delivery.webhooks.lines import Lines
from app.delivery.webhooks.secrets import SigningSecrets
from app.delivery.webhooks.sender import WebhookSender
from app.delivery.webhooks.verdict import Schedule
from app.execution.periodic import Periodic
from app.outbound.client import OutboundClient
from app.security.envelopes.contents import Contents
from app.security.sealing import Sealer
from app.settings import OutboundSettings
from app.storage.deliveries import FORGOTTEN, Deliveries
from app.storage.webhook_secrets import WebhookSecrets
from app.telemetry.metrics import Metrics, Observation

logger = logging.getLogger("app.delivery")

GIVE_UP_LOOK_S = 30.0
COUNT_S = 5.0
FORGET_S = 60.0


class Webhooks:
    """See the module's docstring."""

    def __init__(
        self,
        settings: OutboundSettings,
        storage: Storage,
        acknowledgements: Acknowledgements,
        client: OutboundClient,
        sealer: Sealer,
        contents: Contents,
        metrics: Metrics,
    ) -> None:
        self._give_up_s = settings.webhook_give_up_s
        self._deliveries = Deliveries(storage.database)
        self.secrets = SigningSecrets(WebhookSecrets(storage.database), sealer)
        courier = Courier(
            self._deliveries,
            Bodies(storage.reader, contents),
            self.secrets,
            acknowledgements,
            client,
            Schedule(settings.webhook_backoff_initial_s, settings.webhook_backoff_max_s, settings.webhook_give_up_s),
            metrics.webhook_attempt,
        )
        self.sender = WebhookSender(self._deliveries, courier, Lines())
        self._pending, self._oldest_s = 0, 0.0
        metrics.observe_with(self._observe)

    def start(self, stack: AsyncExitStack) -> None:
        """Begins to send; registers the end of that."""
        stack.push_async_callback(self._deliveries.close)
        self.sender.start()
        stack.push_async_callback(self.sender.close)

    def periodics(self) -> list[Periodic]:
        """What has to be repeated."""
        return [
            Periodic("webhooks nobody takes", GIVE_UP_LOOK_S, self._give_up, spares=True),
            Periodic("count of webhooks", COUNT_S, self._count, spares=True),
            Periodic("webhooks of dropped tasks", FORGET_S, self._forget),
        ]

    async def _give_up(self) -> None:
        for task_id in await self._deliveries.give_up(self._give_up_s):
            logger.warning("webhooks are given up: nobody takes them", extra={"task_id": task_id})

    async def _forget(self) -> None:
        while await self._deliveries.forget() == FORGOTTEN:
            pass

    async def _count(self) -> None:
        self._pending, self._oldest_s = await self._deliveries.pending()

    def _observe(self) -> Observation:
        return Observation(webhooks_pending=self._pending, webhook_age_seconds=self._oldest_s)
