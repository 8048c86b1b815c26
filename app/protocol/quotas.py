"""Quotas: what one submitter may have at a time, what counts towards it, and what an admin may set.

    queued         tasks that were accepted and do not run: waiting for their start, or for another attempt
    running        tasks that run
    held           resources that running tasks hold, a vector
    stored_bytes   messages and results that are kept, in bytes of UTF-8
    rate           calls in a window of time (app/protocol/rates.py)
    weight         not a limit: the share in the resources beside other submitters (1 where nothing is said)

Pure, like the rest of this room.
"""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    field_validator,
)

from app.protocol.rates import Rate
from app.protocol.resources import Amounts, Resources, to_wire
from app.protocol.states import QUEUED, State

UNLIMITED: Literal["unlimited"] = "unlimited"
NO_LIMIT = 2**62
"""An unlimited number as the database has it: more than there can ever be, and still good for sums."""

RATE_OFF = "off"

MOST = 10**15


def _check_count(value: Any) -> Any:
    if value == UNLIMITED or (type(value) is int and 0 <= value <= MOST):
        return value
    raise ValueError(f'must be a whole number from 0 to {MOST}, or "{UNLIMITED}"')


Count = Annotated[
    int | Literal["unlimited"],
    PlainValidator(_check_count),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0, "maximum": MOST}, {"const": UNLIMITED}]}),
]


class Quota(BaseModel):
    """What is set for one submitter, or for all of which nothing is set. What is left out or null is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    queued: Count | None = Field(default=None, description="Most tasks that wait for a start.")
    running: Count | None = Field(default=None, description="Most tasks that run at a time.")
    held: Resources | None = Field(
        default=None, description="Most resources that running tasks hold; units that are not named are not limited."
    )
    stored_bytes: Count | None = Field(default=None, description="Most bytes of messages and results that are kept.")
    rate: str | None = Field(default=None, description="Calls, as 6000/minute (second, minute, hour, day), or off.")
    weight: float | None = Field(
        default=None, gt=0, le=1000, allow_inf_nan=False, description="Share beside others, who have 1."
    )

    @field_validator("rate")
    @classmethod
    def _is_rate(cls, value: str | None) -> str | None:
        if value is not None and value != RATE_OFF:
            return str(Rate.parse(value))
        return value

    @classmethod
    def from_text(cls, text: str) -> "Quota":
        """A quota as an operator writes it in JSON. Raises ValueError with one sentence."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}") from None

    @property
    def counts(self) -> bool:
        """It limits something that has to be counted in the database."""
        return any(limit is not None for limit in (self.queued, self.running, self.held, self.stored_bytes))

    @property
    def limits_starts(self) -> bool:
        """It may hold back a start."""
        return self.running not in (None, UNLIMITED) or self.held is not None

    def over(self, default: "Quota") -> "Quota":
        """This quota, with what it does not set as the default has it."""
        return Quota.model_construct(
            **{name: getattr(default, name) if value is None else value for name, value in self}
        )

    def wire(self) -> dict[str, Any]:
        """As the API shows it: what is not set is null."""
        return {**self.model_dump(exclude={"held"}), "held": None if self.held is None else to_wire(self.limits())}

    def wire_in_force(self) -> dict[str, Any]:
        """The same of a quota in force: null is unlimited, however it came to be."""
        return {name: None if value in (UNLIMITED, RATE_OFF) else value for name, value in self.wire().items()}

    def limits(self) -> Amounts:
        """The limit on each unit that the quota names, zeros included."""
        if self.held is None:
            return {}
        named = Resources.model_construct(**{name: getattr(self.held, name) for name in self.held.model_fields_set})
        amounts = named.amounts()
        for name in self.held.model_fields_set - {"custom"}:
            amounts.setdefault(name, 0)
        for name in self.held.custom:
            amounts.setdefault(f"custom.{name}", 0)
        return amounts


NOTHING_SET = Quota()


class Account(NamedTuple):
    """What of a task counts: taken when a change of it is made, so that the next one knows what it changes."""

    state: State
    result_json: str | None
    allocated: Amounts


class Counts(NamedTuple):
    """What a task adds to its submitter's use, or a change of it adds or takes away."""

    queued: int
    running: int
    stored_bytes: int
    held: Amounts


def difference(before: Account | None, after: Account, submission: str) -> Counts:
    """What a change adds to the use; `before` is None for a new task, whose message then counts."""
    if before is None:
        queued, running, stored, held = 0, 0, size_of(submission), {}
    else:
        queued, running = -(before.state in QUEUED), -(before.state is State.EXECUTING)
        stored, held = -size_of(before.result_json), before.allocated
    allocated = after.allocated
    return Counts(
        queued + (after.state in QUEUED),
        running + (after.state is State.EXECUTING),
        stored + size_of(after.result_json),
        {} if held == allocated else {unit: _change(unit, held, allocated) for unit in {**held, **allocated}},
    )


def room_for_starts(quota: Quota, running: int, held: Amounts, wanted: Amounts) -> int:
    """How many tasks may start; 1 or none where the quota limits what they hold, and one more wants so much."""
    limits = quota.limits()
    if any(held.get(unit, 0) + amount > limits.get(unit, NO_LIMIT) for unit, amount in wanted.items()):
        return 0
    most = NO_LIMIT if quota.running is None or quota.running == UNLIMITED else quota.running
    return min(max(0, most - running), 1 if limits else NO_LIMIT)


def size_of(text: str | None) -> int:
    """Bytes of UTF-8."""
    if text is None:
        return 0
    return len(text) if text.isascii() else len(text.encode())


def _change(unit: str, held: Amounts, allocated: Amounts) -> int:
    return allocated.get(unit, 0) - held.get(unit, 0)
