"""What goes wrong with encrypted messages.

InvalidEnvelope          one message: always the same 400, whatever the cause
EnvelopeTooLarge         one message: 413
WrongSender              one message: it names another subject than the token's, or none; 403
UnusableAnswerKey        the key that a token is bound to cannot be encrypted to; 422
ContentUnavailable       what is stored cannot be opened here; 503
├── KeyMissing           this node has not the key that it is sealed with
└── ContentDamaged       it is not what was sealed: the database was tampered with, or a key file exchanged
"""


class InvalidEnvelope(Exception):
    """The message is no JWE that this service can open, or what is inside is no message.

    `cause` is one fixed sentence for the security log. It never repeats what came, and never reaches the client:
    whoever sends altered copies of a message must not learn from the answers how far they got.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class EnvelopeTooLarge(Exception):
    """The message is longer than an encrypted one may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"an encrypted message may have {limit} bytes")
        self.limit = limit


class WrongSender(Exception):
    """The message names another subject than that of the token it came with, or none."""

    def __init__(self) -> None:
        super().__init__("the message names another sender than the token, or none")


class UnusableAnswerKey(Exception):
    """The key cannot be encrypted to; the message is one sentence for its owner and repeats nothing of the key."""


class ContentUnavailable(Exception):
    """What is stored cannot be opened here; the message is one sentence for the operator."""


class KeyMissing(ContentUnavailable):
    """The content is sealed with a key that is not in this node's directory of keys."""

    def __init__(self, kid: str) -> None:
        super().__init__(
            f"the encryption key {kid} is not in this node's directory of keys: give all nodes the same directory"
        )
        self.kid = kid


class ContentDamaged(ContentUnavailable):
    """The content is not what was sealed for this task and this member."""

    def __init__(self, task_id: str, member: str) -> None:
        super().__init__(f"the {member} of task {task_id} does not open: it is not what was sealed for it")
