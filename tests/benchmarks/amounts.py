"""How much of everything is measured: in full, and for trying out (under a minute)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amounts:
    """`flood` is tasks a round; `journeys_s` and `light_s` are seconds."""

    rounds: int
    warm_up: int
    flood: int
    journeys_s: float
    light_s: float
    drain: int


FULL = Amounts(rounds=5, warm_up=3_000, flood=10_000, journeys_s=8, light_s=10, drain=10_000)
QUICK = Amounts(rounds=2, warm_up=1_000, flood=4_000, journeys_s=3, light_s=4, drain=4_000)

CONNECTIONS = 64
CLIENTS = 32
LIGHT_PER_S = 20
