"""Resource vectors: what a task asks for, holds and frees.

On the wire and in a task type's defaults a vector is a `Resources`; inside the Resource Manager it is
an `Amounts`, whole thousandths by unit, so that sums are exact and "at rest, zero" means zero.
"""

from functools import lru_cache
from math import ceil
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

CPU_LIMIT = 100_000
MEMORY_LIMIT_MB = 1_000_000_000
CUSTOM_LIMIT = 1_000_000_000
CUSTOM_PREFIX = "custom."

Amounts = dict[str, int]
"""Thousandths by unit: {"cpu": 500, "memory_mb": 64000, "custom.licence": 1000}. Zeros are left out."""

UnitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class Resources(BaseModel):
    """A request for resources, or what was granted: all of it or nothing.

    cpu in cores (thousandths are kept), memory_mb in MiB, gpu in devices, custom in units of the
    operator's own (licences, slots).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpu: float = Field(default=0, ge=0, le=CPU_LIMIT, allow_inf_nan=False, description="Cores; fractions allowed.")
    memory_mb: int = Field(default=0, ge=0, le=MEMORY_LIMIT_MB, description="Memory in MiB.")
    gpu: int = Field(default=0, ge=0, le=1024, description="Whole GPU devices.")
    custom: dict[UnitName, Annotated[float, Field(ge=0, le=CUSTOM_LIMIT, allow_inf_nan=False)]] = Field(
        default_factory=dict, max_length=16, description="The operator's own units, such as licences."
    )

    def amounts(self) -> Amounts:
        """The vector in whole thousandths, zeros left out. Fractions beyond a thousandth round up."""
        return dict(_amounts(self.cpu, self.memory_mb, self.gpu, tuple(self.custom.items())))


# Most tasks ask for what others asked for.
@lru_cache(maxsize=1024)
def _amounts(cpu: float, memory_mb: int, gpu: int, custom: tuple[tuple[str, float], ...]) -> Amounts:
    units = {"cpu": cpu, "memory_mb": memory_mb, "gpu": gpu}
    units.update({CUSTOM_PREFIX + name: value for name, value in custom})
    return {unit: _thousandths(value) for unit, value in units.items() if value > 0}


def _thousandths(value: float) -> int:
    # Rounded first: 0.29 * 1000 is a hair above 290. Never to nothing: what is asked for, however little, counts.
    return max(1, ceil(round(value * 1000, 6)))


def to_wire(amounts: Amounts) -> dict[str, Any]:
    """Amounts as the wire shows them: {"cpu": 0.5, "memory_mb": 64, "custom": {"licence": 1}}."""
    wire: dict[str, Any] = {}
    custom: dict[str, float] = {}
    for unit, thousandths in amounts.items():
        value = thousandths / 1000
        number = int(value) if value == int(value) else value
        if unit.startswith(CUSTOM_PREFIX):
            custom[unit.removeprefix(CUSTOM_PREFIX)] = number
        else:
            wire[unit] = number
    if custom:
        wire["custom"] = custom
    return wire


def resources_of(amounts: Amounts) -> Resources:
    """Amounts as a vector. They come from a checked request: nothing is checked again."""
    return _resources_of(tuple(amounts.items()))


@lru_cache(maxsize=1024)
def _resources_of(amounts: tuple[tuple[str, int], ...]) -> Resources:
    wire = to_wire(dict(amounts))
    return Resources.model_construct(
        cpu=wire.get("cpu", 0),
        memory_mb=wire.get("memory_mb", 0),
        gpu=wire.get("gpu", 0),
        custom=wire.get("custom", {}),
    )


def shortfall(request: Amounts, available: Amounts) -> Amounts:
    """What is missing for the request to be granted; empty where it fits."""
    return {
        unit: amount - available.get(unit, 0) for unit, amount in request.items() if amount > available.get(unit, 0)
    }
