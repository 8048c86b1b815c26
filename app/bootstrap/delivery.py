"""The delivery of a service: the ways in which submitters hear of their tasks."""

from contextlib import AsyncExitStack

from app.bootstrap.execution import Execution
from app.bootstrap.security import Security
from app.bootstrap.storage import Storage
from app.bootstrap.webhooks import Webhooks
from app.delivery.acknowledgements import Acknowledgements
from app.delivery.following import HistoryFollower
from app.delivery.places import Places
from app.delivery.watch import Watch
from app.execution.periodic import Periodic
from app.outbound.client import OutboundClient
from app.settings import Settings
from app.submission.callbacks import Callbacks
from app.telemetry.metrics import Metrics


class Delivery:
    """Waiting, streams, acknowledgements and webhooks."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        execution: Execution,
        client: OutboundClient,
        security: Security,
        metrics: Metrics,
    ) -> None:
        self._lease_s = settings.execution.lease_s
        self.watch = Watch()
        self.follower = HistoryFollower(storage.queries, storage.heads, self.watch)
        self.places = Places(settings.security.max_waits)
        self.acknowledgements = Acknowledgements(
            storage.leases, storage.journal, storage.queries, storage.reader, execution.dispatcher.acknowledge
        )
        sealer = security.sealing_keys.sealer
        self.callbacks = Callbacks(client.rules, sealer, storage.delivery_log.sealed_secret)
        self.webhooks = Webhooks(
            settings.outbound, storage, self.acknowledgements, client, sealer, security.contents, metrics
        )

    def start(self, stack: AsyncExitStack) -> None:
        """Begins to send webhooks; registers the end of that."""
        self.webhooks.start(stack)

    def periodics(self) -> list[Periodic]:
        """What has to be repeated."""
        unheard = Periodic("unheard acknowledgements", self._lease_s / 3, self.acknowledgements.record_unheard)
        return [unheard, *self.webhooks.periodics()]
