"""What submitters and the service tell each other about deliveries; see schemas.py."""

from pydantic import BaseModel, ConfigDict, Field


class Acknowledgement(BaseModel):
    """Everything up to one message has been received."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sequence: int = Field(ge=1, description="Sequence of the last message received.", examples=[1])


class Acknowledged(BaseModel):
    """How far the messages of a task have been acknowledged."""

    task_id: str
    acknowledged: int = Field(ge=0, description="Everything up to this sequence counts as received.")
    last_sequence: int = Field(ge=1, description="Sequence of the last message, an Acknowledge included.")
