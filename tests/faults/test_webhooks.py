"""Webhooks under faults: receivers of every bad kind, services killed in the middle, acknowledgements that never come.

What must hold is looked at from outside, at the receivers: everything arrives, in order on first sight, and a
repetition is the same message. A receiver that is slow or dead is its own misfortune.
"""

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from app.protocol.roles import Role
from tests.api.caller import Caller, Callers, message
from tests.delivery.webhooks.conftest import QUICK
from tests.delivery.webhooks.receiving import SECRET, acknowledge, delivery, recorded, sequences
from tests.support.service import Service
from tests.support.sink import (
    Behaviour,
    Received,
    Sink,
    SinkThread,
    answers,
    drips,
    drips_its_body,
    floods,
    floods_headers,
    hangs,
    resets,
)
from tests.support.waiting import wait_until

Start = Callable[..., Service]

BAD: list[Behaviour] = [
    answers(500),
    hangs,
    resets,
    drips,
    floods_headers,
    answers(301, "Location: http://127.0.0.1:1/"),
    answers(503, "Retry-After: 1"),
]
GOOD: list[Behaviour] = [answers(200), floods, drips_its_body]
PER_SINK = 4
"""Messages that may be under way to one receiver."""


@pytest.fixture
def make_sink() -> Iterator[Callable[[], Sink]]:
    """Makes receivers, each of its own origin."""
    threads: list[SinkThread] = []

    def make() -> Sink:
        threads.append(SinkThread())
        return threads[-1].sink

    yield make
    for thread in threads:
        thread.close()


@pytest.fixture
def callers_of() -> Iterator[Callable[[Service], Callers]]:
    """Callers of services."""
    made: list[Callers] = []

    def make(service: Service) -> Callers:
        made.append(Callers(service))
        return made[-1]

    yield make
    for callers in made:
        callers.close()


def check_order(received: list[Received], histories: dict[str, list[int]]) -> int:
    """Everything that was to be sent came, in order on first sight; repetitions are alike. Answers how many came."""
    seen: dict[str, list[int]] = defaultdict(list)
    bodies: dict[str, bytes] = {}
    for each in received:
        task_id, _, sequence = each.headers["webhook-id"].rpartition(".")
        assert bodies.setdefault(each.headers["webhook-id"], each.body) == each.body
        if int(sequence) not in seen[task_id]:
            seen[task_id].append(int(sequence))
    assert dict(seen) == histories
    return len(received)


def told(caller: Caller, task_id: str) -> list[int]:
    """The messages to the submitter that the history has."""
    return [item["sequence"] for item in caller.history(task_id) if item["recipient"] == "submitter"]


def delays(caller: Caller, sink: Sink, tasks: list[str], epoch: float) -> list[float]:
    """Seconds from the record of each message to its arrival."""
    arrived = {each.headers["webhook-id"]: each.at + epoch for each in reversed(sink.received)}
    return [
        arrived[f"{task_id}.{item['sequence']}"] - datetime.fromisoformat(item["recorded_at"]).timestamp()
        for task_id in tasks
        for item in caller.history(task_id)
        if item["recipient"] == "submitter"
    ]


@pytest.mark.parametrize("count", [8, pytest.param(60, marks=pytest.mark.chaos)])
def test_bad_receivers_delay_no_other(
    start_service: Start, make_sink: Callable[[], Sink], callers_of: Callable[[Service], Callers], count: int
) -> None:
    callers = callers_of(start_service(**QUICK))
    alice, bob = callers.make(Role.SUBMITTER), callers.make(Role.SUBMITTER)
    good = make_sink()
    epoch = time.time() - time.monotonic()
    alone = [alice.submit(message(callback={"url": good.tell("/hook", answers(200))})) for _ in range(count)]
    for task_id in alone:
        delivery(alice, task_id, "delivered")
    bad = [make_sink() for _ in BAD]
    for sink, behaviour in zip(bad, BAD, strict=True):
        for _ in range(count):
            bob.submit(message(callback={"url": sink.tell("/hook", behaviour)}))
    wait_until(lambda: all(sink.received for sink in bad), "all of the bad ones are busy", within_s=60)
    beside = [alice.submit(message(callback={"url": good.url + "/hook"})) for _ in range(count)]
    for task_id in beside:
        delivery(alice, task_id, "delivered", within_s=60)
    hanging = bad[BAD.index(hangs)]
    connections = len(hanging._connections)
    assert connections <= PER_SINK
    before, meanwhile = (delays(alice, good, tasks, epoch) for tasks in (alone, beside))
    print(  # noqa: T201 - the figures of the long form
        f"delay of {len(before)} messages, p50/p95 s: alone "
        f"{statistics.median(before):.3f}/{statistics.quantiles(before, n=20)[-1]:.3f}, beside {len(BAD)} bad ones "
        f"{statistics.median(meanwhile):.3f}/{statistics.quantiles(meanwhile, n=20)[-1]:.3f}"
    )
    # A single attempt at a receiver that hangs takes ten seconds: whoever waits for one is far beyond this.
    assert statistics.median(meanwhile) < 5
    # Only the receivers that answer are left with everything.
    check_order(good.received, {task_id: told(alice, task_id) for task_id in (*alone, *beside)})


@pytest.mark.parametrize("count", [4, pytest.param(500, marks=pytest.mark.chaos)])
def test_every_kind_of_receiver_has_everything_in_order_once_it_is_well(
    start_service: Start, make_sink: Callable[[], Sink], callers_of: Callable[[Service], Callers], count: int
) -> None:
    callers = callers_of(start_service(**QUICK))
    alice = callers.make(Role.SUBMITTER)
    tasks: dict[int, list[str]] = defaultdict(list)
    sinks = [make_sink() for _ in (*BAD, *GOOD)]
    for number, behaviour in enumerate((*BAD, *GOOD)):
        url = sinks[number].tell("/hook", behaviour, behaviour, answers(200))
        tasks[number] = [alice.submit(message(callback={"url": url, "secret": SECRET})) for _ in range(count)]
    for number, sink in enumerate(sinks):
        for task_id in tasks[number]:
            delivery(alice, task_id, "delivered", within_s=120)
        came = check_order(sink.received, {task_id: told(alice, task_id) for task_id in tasks[number]})
        assert came >= 3 * count + (2 if number < len(BAD) else 0)


@pytest.mark.parametrize(("count", "kills"), [(6, 1), pytest.param(300, 40, marks=pytest.mark.chaos)])
def test_services_killed_while_they_deliver_lose_nothing_and_keep_the_order(
    start_service: Start,
    make_sink: Callable[[], Sink],
    callers_of: Callable[[Service], Callers],
    count: int,
    kills: int,
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # noqa: T201 - repeats the run
    chance = random.Random(seed)
    settings = {**QUICK, "lease_s": "3"}
    services = [start_service(**settings), start_service(**settings)]
    sink = make_sink()
    tasks: list[str] = []
    alices = [callers_of(service).make(Role.SUBMITTER, subject="alice") for service in services]
    for round_ in range(kills):
        moods = [chance.choice([answers(200), answers(500), resets]) for _ in range(20)]
        url = sink.tell("/hook", *moods, answers(200))
        for _ in range(count // kills):
            sent = message("sleep", {"seconds": 0.5}, callback={"url": url, "secret": SECRET})
            tasks.append(alices[round_ % 2].submit(sent))
        before = len(sink.received)
        wait_until(lambda before=before: len(sink.received) > before + 2, "under way", within_s=60)  # type: ignore[misc]
        victim = services[round_ % 2]
        victim.kill()
        victim.start()
    for task_id in tasks:
        # A claim that was left behind runs out after half a minute.
        delivery(alices[0], task_id, "delivered", within_s=120)
    check_order(sink.received, {task_id: told(alices[0], task_id) for task_id in tasks})
    for task_id in tasks:
        (last,) = recorded(alices[0], task_id)
        assert last == told(alices[0], task_id)[-1]


@pytest.mark.parametrize(
    "point", ["courier.before_call", pytest.param("courier.after_answer", marks=pytest.mark.chaos)]
)
def test_a_service_that_dies_around_an_attempt_leaves_it_to_another(
    start_service: Start, make_sink: Callable[[], Sink], callers_of: Callable[[Service], Callers], point: str
) -> None:
    doomed = start_service(**QUICK, fault_points=f"{point}:1:kill", lease_s="3")
    sink = make_sink()
    task_id = (
        callers_of(doomed)
        .make(Role.SUBMITTER, subject="alice")
        .submit(message(callback={"url": sink.tell("/hook", answers(200))}))
    )
    assert doomed.wait() == -9
    alice = callers_of(start_service(**QUICK, lease_s="3")).make(Role.SUBMITTER, subject="alice")
    # Its claim runs out after half a minute.
    delivery(alice, task_id, "delivered", within_s=90)
    came = check_order(sink.received, {task_id: told(alice, task_id)})
    assert came - len(told(alice, task_id)) == (1 if point == "courier.after_answer" else 0)


def test_two_services_do_not_send_the_same(
    start_service: Start, make_sink: Callable[[], Sink], callers_of: Callable[[Service], Callers]
) -> None:
    services = [start_service(**QUICK), start_service(**QUICK)]
    callers = [callers_of(service).make(Role.SUBMITTER, subject="alice") for service in services]
    sink = make_sink()
    url = sink.tell("/hook", answers(200))
    tasks = [callers[number % 2].submit(message(callback={"url": url})) for number in range(30)]
    for task_id in tasks:
        delivery(callers[0], task_id, "delivered")
    assert check_order(sink.received, {task_id: told(callers[0], task_id) for task_id in tasks}) == 90


def test_acknowledgements_twice_out_of_order_of_others_and_never(
    start_service: Start, make_sink: Callable[[], Sink], callers_of: Callable[[Service], Callers]
) -> None:
    callers = callers_of(start_service(**{**QUICK, "webhook_give_up_s": "4"}))
    alice, bob = callers.make(Role.SUBMITTER), callers.make(Role.SUBMITTER)
    sink = make_sink()
    asked, never = (
        alice.submit(message(callback={"url": sink.tell(path, answers(200)), "acknowledge": "request"}))
        for path in ("/asked", "/never")
    )
    wait_until(lambda: len(sink.at("/asked")) >= 2, "sent again")
    assert bob.http.post(f"/v1/tasks/{asked}/acknowledgements", json={"sequence": 2}).status_code == 404
    for sequence in (5, 2, 5):
        acknowledge(alice, asked, sequence)
    wait_until(lambda: sequences(sink.at("/asked"))[-1] == 8, "the next that is not acknowledged")
    acknowledge(alice, asked, 8)
    delivery(alice, asked, "delivered")
    assert recorded(alice, asked) == [5, 8]
    standing = delivery(alice, never, "dead", within_s=60)
    assert set(sequences(sink.at("/never"))) == {2}
    assert standing["last_outcome"] == "2xx"
    assert recorded(alice, never) == []
    assert alice.http.post(f"/v1/tasks/{never}/deliveries/redeliver").status_code == 202
    acknowledge(alice, never, 8)
    delivery(alice, never, "delivered")
