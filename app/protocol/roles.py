"""Who may do what (protocol, "Access Control"): the one table of roles and permissions."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The protocol's roles, as a token's `roles` claim spells them."""

    SUBMITTER = "submitter"
    EXECUTOR = "executor"
    ADMIN = "admin"


class Permission(StrEnum):
    """The protocol's permissions, as a token's `scope` claim spells them."""

    SUBMIT_TASK = "submit_task"
    EXECUTE_TASK = "execute_task"
    MONITOR_TASK = "monitor_task"


ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.SUBMITTER: frozenset({Permission.SUBMIT_TASK, Permission.MONITOR_TASK}),
    Role.EXECUTOR: frozenset({Permission.EXECUTE_TASK, Permission.MONITOR_TASK}),
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """The public key that a token is bound to (`cnf.jwk`, RFC 7800): a JWK as JSON text, or why it cannot be used."""

    jwk: str | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller.

    `admin` lifts the restriction to the caller's own tasks. `expires_at` is the token's `exp`, in
    seconds since the epoch: what outlives the request (a stream) ends then. `answer_key` is what its answers
    can be encrypted to.
    """

    subject: str
    permissions: frozenset[Permission]
    admin: bool
    expires_at: float
    token_id: str | None = None
    answer_key: AnswerKey | None = None

    def may(self, permission: Permission) -> bool:
        """The caller holds the permission."""
        return permission in self.permissions
