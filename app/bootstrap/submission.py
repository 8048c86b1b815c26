"""The submission of a service: messages in plain, encrypted ones, and retries of what failed."""

from app.bootstrap.execution import Execution
from app.bootstrap.security import Security
from app.bootstrap.storage import Storage
from app.clock import clock
from app.protocol.messages import RetryPolicy
from app.resources.request import request_of
from app.settings import ExecutionSettings
from app.submission.callbacks import Callbacks
from app.submission.encrypted import EncryptedSubmission
from app.submission.handler import SubmissionHandler
from app.submission.outlook import Outlook
from app.submission.retry import Retry
from app.task_types.registry import Registry


class Submission:
    """The ways into the journal."""

    def __init__(
        self,
        settings: ExecutionSettings,
        registry: Registry,
        storage: Storage,
        execution: Execution,
        security: Security,
        callbacks: Callbacks,
    ) -> None:
        manager, dispatcher = execution.manager, execution.dispatcher
        self.handler = SubmissionHandler(
            storage.journal,
            storage.queries,
            registry,
            dispatcher.handover,
            outlook=Outlook(
                capacities=dispatcher.capacities,
                starts_at_once=dispatcher.handover.starts_at_once,
                expected_end=lambda task: manager.soonest_end(request_of(task), clock.seconds()),
            ),
            retry=RetryPolicy(initial_s=settings.backoff_initial_s, max_s=settings.backoff_max_s),
            callbacks=callbacks,
        )
        self.encrypted = EncryptedSubmission(self.handler, security.opener, security.contents)
        self.retry = Retry(self.handler, self.encrypted)
