"""What the doors need of the running service; bootstrap fills it in."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.api.policies import Door, Open
from app.delivery.acknowledgements import Acknowledgements
from app.delivery.following import HistoryFollower
from app.delivery.places import Places
from app.delivery.watch import Watch
from app.delivery.webhooks.secrets import SigningSecrets
from app.delivery.webhooks.sender import WebhookSender
from app.execution.cancellation import Cancellation
from app.execution.outside import OutsideExecutors
from app.execution.pausing import Pausing
from app.execution.start_gate import StartGate
from app.resources.elsewhere import Elsewhere
from app.resources.manager import ResourceManager
from app.security.address_limits import AddressLimits
from app.security.envelopes.contents import Contents
from app.security.published import PublishedKeys
from app.security.rate_limits import SubjectLimits
from app.security.token_keys import TokenKeys
from app.security.tokens import TokenVerifier
from app.storage.controls import Controls
from app.storage.database import Database
from app.storage.delivery_log import DeliveryLog
from app.storage.nodes import Nodes
from app.storage.queries import Queries, StatusReader
from app.storage.quotas import Quotas
from app.storage.readiness import Readiness
from app.storage.revocations import Revocations
from app.submission.encrypted import EncryptedSubmission
from app.submission.handler import SubmissionHandler
from app.submission.retry import Retry
from app.task_types.registry import Registry
from app.telemetry.metrics import Metrics


@dataclass(slots=True)
class Service:
    """The parts of a running service. `ready` turns false before it drains, `closing` true when that is over.

    `max_body_bytes` bounds a request, `max_result_bytes` a result.
    """

    registry: Registry
    verifier: TokenVerifier
    token_keys: TokenKeys
    addresses: AddressLimits
    calls: SubjectLimits
    quotas: Quotas
    gate: StartGate
    revocations: Revocations
    submission: SubmissionHandler
    encrypted: EncryptedSubmission
    published: PublishedKeys
    contents: Contents
    reader: StatusReader
    queries: Queries
    readiness: Readiness
    cancellation: Cancellation
    retry: Retry
    acknowledgements: Acknowledgements
    follower: HistoryFollower
    places: Places
    delivery_log: DeliveryLog
    webhooks: WebhookSender
    webhook_secrets: SigningSecrets
    manager: ResourceManager
    elsewhere: Elsewhere
    pausing: Pausing
    outside: OutsideExecutors
    controls: Controls
    nodes: Nodes
    watch: Watch
    metrics: Metrics
    database: Database
    node_id: str
    max_body_bytes: int
    doors: Mapping[Open, Door]
    max_result_bytes: int
    drain: Callable[[], Awaitable[None]]
    ready: bool = False
    closing: bool = False
