"""When a request that waits may be expected to start, and how far off that may be: pure functions over plain data.

A node gets through one share-second a second. What runs and what is ahead of a request is then so much work, and the
request starts when all of it is done but what others have yet to do beside it. A task that is met while it runs has
E[X^2] / 2 E[X] before it, where X are the run times of its kind (D. R. Cox, "Renewal Theory", 1962). Work is the sum of
many run times, and so its variance the sum of theirs; to it comes that a mean is known only as well as its kind has
been seen. Times are seconds since the epoch; a share is a part of the node, 0..1.
"""

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import NamedTuple

from app.resources.sample import Sample

WIDTH = 2.0
"""Standard deviations from the expectation to either end of a range.

95 of 100 would be inside if the order were sure; it is not, as fair shares follow what tasks really take.
"""

RARE = 0.05
"""The part of the run times that is left out at either end of what a running task may yet need."""

GUESS = 2
"""How many requests in front of which something was left idle the guess counts for."""

OTHERWISE = 1 / 3
"""How far what will be left idle is off what has been seen, in parts: the next ones come in another order."""


class Estimate(NamedTuple):
    """A start. From `earliest` to `latest` it should be in 80 to 95 of 100 cases."""

    earliest: float
    expected: float
    latest: float


class Remaining(NamedTuple):
    """What a running task has yet to run, in seconds: rarely less, as likely more as less, and rarely more."""

    least_s: float
    middle_s: float
    most_s: float
    mean_s: float
    variance: float


class Batch(NamedTuple):
    """So many requests of one kind and share. The number may be a guess, and then a fraction."""

    number: float
    share: float
    runs: Sample
    idle: Sample | None = None
    """Share-seconds that were left idle in front of requests of that size; None where none has been seen."""


def remaining(runs: Sample, elapsed_s: float, timeout_s: float) -> Remaining:
    """What a task of the kind has yet to run. One that has outrun all others runs as long again, or not at all."""
    left_s = max(timeout_s - elapsed_s, 0.0)
    longer = [min(seconds - elapsed_s, left_s) for seconds in runs.after(max(elapsed_s, 0.0))]
    if not longer:
        again = min(max(elapsed_s, 0.0), left_s)
        return Remaining(0.0, again, min(3 * again, left_s), again, again * again)
    mean = sum(longer) / len(longer)
    variance = sum((seconds - mean) ** 2 for seconds in longer) / len(longer) + mean * mean / 4 / len(longer)
    least, middle, most = (longer[int(part * len(longer))] for part in (RARE, 0.5, 1 - RARE))
    spare = mean / 2 / len(longer)  # a few seen do not show how far their kind can spread
    return Remaining(max(least - spare, 0.0), middle, min(most + spare, left_s), mean, variance)


def estimate(
    now: float, fit: Estimate, running: Sequence[tuple[float, Remaining]], ahead: Sequence[Batch], share: float
) -> Estimate:
    """The start of a request of that share.

    `fit` is when it would start if nothing were ahead of it; `running` are shares of what holds what it needs.
    """
    work = sum(batch.number * batch.share * batch.runs.mean_s for batch in ahead)
    if not work:
        return fit
    (idle, unsure_s), (beside, spread) = _idle(ahead), _beside(ahead, work, share)
    variance = unsure_s + sum(batch.number * batch.share**2 * batch.runs.variance for batch in ahead) + _unsure(ahead)
    left = sum(held * each.mean_s for held, each in running)
    expected = max(fit.expected, now + left + work + idle - beside)
    variance += sum(held**2 * each.variance for held, each in running) + spread
    width = WIDTH * sqrt(variance)
    earliest, latest = expected - width - _passed(ahead, share), expected + width
    return Estimate(max(fit.earliest, earliest), expected, max(fit.latest, latest))


def _passed(ahead: Sequence[Batch], share: float) -> float:
    """How much sooner a request may start than its turn comes: while larger ones do not fit, it may pass them."""
    larger = [batch for batch in ahead if batch.number and batch.share > share]
    return max(_idle(larger)[0], 0.0) if larger else 0.0


def _idle(ahead: Sequence[Batch]) -> tuple[float, float]:
    """Share-seconds that stay idle because what ends does not leave room of the size that is wanted; and the variance.

    By what has been seen in front of requests of each size, and by a guess that counts as much as a few of them.
    """
    numbers: dict[Sample | None, float] = {}
    for batch in ahead:
        numbers[batch.idle] = numbers.get(batch.idle, 0.0) + batch.number
    guess = _guess(ahead) / sum(numbers.values())
    mean = variance = 0.0
    for seen, number in numbers.items():
        count, mean_s, spread = (0, 0.0, guess**2) if seen is None else (seen.count, seen.mean_s, seen.variance)
        weight = GUESS + count
        mean += number * (GUESS * guess + count * mean_s) / weight
        variance += spread * (number + number**2 / weight)
    return mean, variance + (OTHERWISE * mean) ** 2


def _guess(ahead: Sequence[Batch]) -> float:
    """The same where nothing has been seen yet.

    Of requests of one size so many run side by side as fit. A request larger than the others has to wait until several
    of them have ended, and what was given back first is idle for so long: half of it, on average.
    """
    count = sum(batch.number for batch in ahead)
    usual = sum(batch.number * batch.share for batch in ahead) / count
    run_s = sum(batch.number * batch.runs.mean_s for batch in ahead) / count
    if len({batch.share for batch in ahead}) == 1:
        return count * run_s * (1 / int(1 / usual + 1e-9) - usual)
    return run_s * sum(batch.number * batch.share * max(batch.share - usual, 0.0) / 2 for batch in ahead)


def _unsure(ahead: Iterable[Batch]) -> float:
    """The variance that comes of means that are known from few runs: all tasks of a kind are off together."""
    shares: dict[Sample, float] = {}
    for batch in ahead:
        shares[batch.runs] = shares.get(batch.runs, 0.0) + batch.number * batch.share
    return sum(share**2 * runs.variance / runs.count for runs, share in shares.items())


def _beside(ahead: Iterable[Batch], work: float, share: float) -> tuple[float, float]:
    """What others have yet to do when the request starts, in share-seconds, and its variance.

    Of which kind they are is as likely as the work that each kind has ahead.
    """
    mean = second = 0.0
    for batch in ahead:
        run_s, variance = batch.runs.mean_s, batch.runs.variance
        part = batch.number * batch.share * run_s / work
        if part:
            mean += part * (run_s**2 + variance) / (2 * run_s)
            second += part * run_s**2 / 3
    return (1 - share) * mean, (1 - share) * share * second
