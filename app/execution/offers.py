"""What an executor outside offers: its resources, and how many tasks they have room for."""

from collections.abc import Sequence

from app.protocol.resources import Amounts, shortfall
from app.resources.policy import subtract
from app.storage.outside import Claimed


def fitting(claimed: Sequence[Claimed], offered: Amounts | None) -> tuple[list[Claimed], list[Claimed]]:
    """Which of the tasks the offer has room for together, in their order, and which not."""
    left = dict(offered or {})
    kept: list[Claimed] = []
    too_much: list[Claimed] = []
    for each in claimed:
        if offered is not None and shortfall(each.task.requested, left):
            too_much.append(each)
        else:
            left = subtract(left, each.task.requested)
            kept.append(each)
    return kept, too_much
