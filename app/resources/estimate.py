"""When a request that waits may be expected to start, and how far off that may be: pure functions over plain data.

A node gets through one share-second a second. What runs and what is ahead of a request is then so much work, and the
request starts when all of it is done but what others have yet to do beside it. A task that is met while it runs has
E[X^2] / 2 E[X] before it, where X are the run times of its kind (D. R. Cox, "Renewal Theory", 1962). Work is the sum of
many run times, and so its variance the sum of theirs; to it comes that a mean is known only as well as its kind has
been seen. Times are seconds since the epoch; a share is a part of the node, 0..1.

That goes by the order. Where a large request is blocked for long and small ones pass it all the while, the order says
little: the pace at which requests of the same size were granted lately is then the better guide, and what lies between
the two is what is not known.
"""

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import NamedTuple

from app.resources.pace import Paced
from app.resources.sample import Sample
from app.resources.sizes import size_of

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

SWING = 2 / sqrt(3)
"""A standard deviation of what is anywhere within twice so much to either side."""

EVEN = 1e-9
"""Kept from a share such as a third, which is a hair off."""


class Estimate(NamedTuple):
    """A start. From `earliest` to `latest` it should be in 80 to 95 of 100 cases."""

    earliest: float
    expected: float
    latest: float

    def holds(self, at: float) -> bool:
        """Whether that is inside the range."""
        return self.earliest <= at <= self.latest


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
    now: float,
    fit: Estimate,
    running: Sequence[tuple[float, Remaining]],
    ahead: Sequence[Batch],
    share: float,
    paced: Paced | None = None,
) -> Estimate:
    """The start of a request of that share.

    `fit` is when it would start if nothing were ahead of it; `running` are shares of what holds what it needs. `paced`
    is the pace of requests of its size, where it is known.
    """
    work = sum(batch.number * batch.share * batch.runs.mean_s for batch in ahead)
    if not work:
        return fit
    by_order = _by_order(now, fit, running, ahead, share, work)
    return by_order if paced is None else _agreed(by_order, _by_pace(fit, ahead, share, paced))


def _by_order(
    now: float,
    fit: Estimate,
    running: Sequence[tuple[float, Remaining]],
    ahead: Sequence[Batch],
    share: float,
    work: float,
) -> Estimate:
    """The start when all that is ahead has been served."""
    (idle, unsure_s), (beside, spread) = _idle(ahead), _beside(ahead, work, share)
    variance = unsure_s + sum(batch.number * batch.share**2 * batch.runs.variance for batch in ahead) + _unsure(ahead)
    left = sum(held * each.mean_s for held, each in running)
    expected = max(fit.expected, now + left + work + idle - beside)
    variance += sum(held**2 * each.variance for held, each in running) + spread
    in_file_s, in_file_variance = _in_file(ahead, share)
    if fit.expected + in_file_s > expected:
        expected, variance = fit.expected + in_file_s, max(variance, in_file_variance)
    width = WIDTH * sqrt(variance)
    earliest, latest = expected - width - _passed(ahead, share), expected + width
    return Estimate(max(fit.earliest, earliest), expected, max(fit.latest, latest))


def _in_file(ahead: Sequence[Batch], share: float) -> tuple[float, float]:
    """How long the batch that takes longest needs at least, of those that the request cannot run beside; the variance.

    Of one batch no more run side by side than fit, whatever else the node has to do and leaves idle.
    """
    longest = (0.0, 0.0)
    for batch in ahead:
        if batch.share + share > 1:
            beside = int(1 / batch.share + EVEN)
            each_file = batch.number / beside
            variance = (each_file / beside + each_file**2 / batch.runs.count) * batch.runs.variance
            longest = max(longest, (each_file * batch.runs.mean_s, variance))
    return longest


def _by_pace(fit: Estimate, ahead: Sequence[Batch], share: float, paced: Paced) -> Estimate:
    """The start at the pace at which requests of the same size were granted lately.

    Their submitters come in an order that what else they run puts off: one who has been given something dear is behind
    the others by as many requests of this size as cost the same.
    """
    same = [batch for batch in ahead if batch.number and size_of(batch.share) == size_of(share)]
    number = sum(batch.number for batch in same) + 1
    dearest = max(batch.share * batch.runs.mean_s for batch in ahead)
    usual = sum(batch.number * batch.share * batch.runs.mean_s for batch in same) / (number - 1) if same else dearest
    interval_s, spread = paced.intervals.mean_s, paced.intervals.variance_of_each
    put_off_s = SWING * min(dearest / usual, number) * interval_s
    expected = max(fit.expected, paced.last_at + number * interval_s)
    width = WIDTH * sqrt((number + number**2 / paced.intervals.count) * spread + put_off_s**2)
    return Estimate(max(fit.earliest, expected - width), expected, max(fit.latest, expected + width))


def _agreed(by_order: Estimate, by_pace: Estimate) -> Estimate:
    """What the two come to: halfway; where each holds the other for impossible, the pace is believed.

    The range is the order's; where that leaves the pace out, it is that of both.
    """
    between = (by_order.expected + by_pace.expected) / 2
    if by_order.holds(by_pace.expected):
        return by_order._replace(expected=between)
    earliest, latest = min(by_order.earliest, by_pace.earliest), max(by_order.latest, by_pace.latest)
    return Estimate(earliest, between if by_pace.holds(by_order.expected) else by_pace.expected, latest)


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
        return count * run_s * (1 / int(1 / usual + EVEN) - usual)
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
