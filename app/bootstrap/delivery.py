"""The delivery of a service: the ways in which submitters hear of their tasks."""

from app.bootstrap.execution import Execution
from app.bootstrap.storage import Storage
from app.delivery.acknowledgements import Acknowledgements
from app.delivery.following import HistoryFollower
from app.delivery.places import StreamPlaces
from app.delivery.watch import Watch
from app.execution.periodic import Periodic


class Delivery:
    """Waiting, streams and acknowledgements."""

    def __init__(self, storage: Storage, execution: Execution, lease_s: float) -> None:
        self._lease_s = lease_s
        self.watch = Watch()
        self.follower = HistoryFollower(storage.queries, storage.heads, self.watch)
        self.streams = StreamPlaces()
        self.acknowledgements = Acknowledgements(
            storage.leases, storage.journal, storage.queries, storage.reader, execution.dispatcher.acknowledge
        )

    def periodics(self) -> list[Periodic]:
        """What has to be repeated."""
        return [Periodic("unheard acknowledgements", self._lease_s / 3, self.acknowledgements.record_unheard)]
