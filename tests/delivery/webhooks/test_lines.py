from app.delivery.webhooks.lines import MAX_CIRCUITS, OPENS_AFTER, REST_MAX_S, Limits, Lines
from app.protocol.callbacks import sink_of

LIMITS = Limits(in_all=6, per_submitter=4, per_host=3, per_sink=2)
ONE, OTHER, ELSEWHERE = (
    sink_of("https://a.example", "alice"),
    sink_of("https://a.example", "bob"),
    sink_of("https://b.example", "alice"),
)


def taken(lines: Lines, sink: str, tries: int, now: float = 0) -> int:
    return sum(lines.take(sink, now) for _ in range(tries))


def test_a_sink_fills_its_own_places_and_leaves_the_others_theirs() -> None:
    lines = Lines(LIMITS)
    assert taken(lines, ONE, 10) == 2
    assert taken(lines, OTHER, 10) == 1, "one place is left at the host"
    assert taken(lines, ELSEWHERE, 10) == 2
    assert taken(lines, sink_of("https://c.example", "alice"), 10) == 0, "four are alice's most"
    assert taken(lines, sink_of("https://c.example", "carol"), 10) == 1, "six in all"
    lines.release(ONE)
    assert taken(lines, ONE, 10) == 1


def test_both_schemes_and_no_others_share_a_host() -> None:
    lines = Lines(LIMITS)
    assert taken(lines, sink_of("https://a.example", "x"), 2) == 2
    assert taken(lines, sink_of("http://a.example", "y"), 2) == 1
    assert taken(lines, sink_of("https://a.example:8443", "z"), 2) == 2


def test_who_is_served_leaves_no_trace() -> None:
    lines = Lines(LIMITS)
    for number in range(100):
        sink = sink_of(f"https://{number}.example", "alice")
        assert lines.take(sink, 0)
        lines.ended(sink, 0, 0.5, alive=True)
        lines.release(sink)
    assert lines.under_way == 0
    assert not lines._taken
    assert not lines._circuits


def test_who_fails_time_and_again_is_left_alone_then_tried_once() -> None:
    lines = Lines(LIMITS)
    for _ in range(OPENS_AFTER):
        assert lines.take(ONE, 0)
        lines.ended(ONE, 0, 0.5, alive=False)
        lines.release(ONE)
    assert lines.open_circuits == 1
    assert not lines.take(ONE, 0.1)
    assert lines.take(OTHER, 0.1), "another submitter's address at the same host is another sink"
    assert taken(lines, ONE, 5, now=10) == 1, "one at a time to see"
    lines.ended(ONE, 10, 0.5, alive=False)
    lines.release(ONE)
    assert not lines.take(ONE, 11)
    assert taken(lines, ONE, 5, now=100) == 1
    lines.ended(ONE, 100, 0.5, alive=True)
    assert lines.open_circuits == 0
    assert taken(lines, ONE, 5, now=100) == 1


def test_nobody_is_left_alone_for_longer_than_a_minute() -> None:
    lines = Lines(LIMITS)
    for _ in range(1000):
        lines.ended(ONE, 0, 0.999, alive=False)
    assert not lines.take(ONE, REST_MAX_S / 2)
    assert lines.take(ONE, REST_MAX_S)


def test_however_many_fail_what_is_known_of_them_is_bounded() -> None:
    lines = Lines(LIMITS)
    for number in range(MAX_CIRCUITS + 100):
        lines.ended(sink_of(f"https://{number}.example", "alice"), 0, 0.5, alive=False)
    assert len(lines._circuits) == MAX_CIRCUITS
