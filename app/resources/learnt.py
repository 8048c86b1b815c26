"""What a node has learnt from the requests that it granted: what the start of the next ones is expected by."""

from app.resources.estimate import Batch
from app.resources.idleness import Idleness
from app.resources.pace import Pace
from app.resources.run_times import RunTimes


class Learnt:
    """How long kinds run, what is left idle in front of each size, and at which pace each size is granted."""

    def __init__(self, times: RunTimes | None = None) -> None:
        self.times = times or RunTimes()
        self.idleness = Idleness()
        self.pace = Pace()

    def batch(self, kind: str, number: float, share: float) -> Batch | None:
        """So many requests of a kind that take so much of the node each; None before any task has been seen to end."""
        runs = self.times.runs(kind)
        return None if runs is None else Batch(number, share, runs, self.idleness.before(share))

    def of_others(self) -> "Learnt":
        """What of it holds for other nodes, or for several: how long tasks run, and not how they share this one."""
        return Learnt(self.times)
