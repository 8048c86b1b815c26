"""What admins and the service tell each other about tokens; see schemas.py."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.protocol.messages import Timestamp

_NAME = r"^[!-~]([ -~]*[!-~])?$"


class RevocationRequest(BaseModel):
    """Whose tokens, or which one, count no more: exactly one of `subject` and `token_id`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    subject: str | None = Field(
        default=None, min_length=1, max_length=255, pattern=_NAME, description="All tokens of this subject (`sub`)."
    )
    token_id: str | None = Field(
        default=None, min_length=1, max_length=255, pattern=_NAME, description="The token of this id (`jti`)."
    )
    until: Timestamp | None = Field(
        default=None,
        description="When it ends. Where left out, as soon as no token that was made before can be valid any more.",
    )

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.subject is None) == (self.token_id is None):
            raise ValueError("must name either subject or token_id")
        return self


class RevocationEntry(BaseModel):
    """One that is in force."""

    revocation_id: str
    subject: str | None = Field(default=None, description="Whose tokens are refused, those made later among them.")
    token_id: str | None = Field(default=None, description="The id (`jti`) of the token that is refused.")
    until: str = Field(description="When it ends by itself.")
    revoked_at: str
    revoked_by: str = Field(description="The admin.")


class RevocationPage(BaseModel):
    """A page of revocations, the newest first."""

    items: list[RevocationEntry]
    next_cursor: str | None
