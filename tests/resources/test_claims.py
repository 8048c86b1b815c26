"""How many tasks of which line are claimed: everyone has something on the node, and nobody fills it."""

from app.resources.census import Census
from app.resources.claims import LEAST_PART, PARTS_OF_ONE, SPREAD, Claims, Fullness, Plan, Terms
from app.resources.ring import FAR_STEPS, NEAR_STEPS, REMEMBERED
from app.storage.lines import Line, Seen

WINDOW = 200


def line(submitter: str, priority: int = 1, cpu: int = 1000) -> Line:
    return Line(priority, submitter, "job", f'{{"cpu":{cpu}}}')


def wants(
    lines: list[Line], census: Census | None = None, limit: int = WINDOW, terms: Terms | None = None
) -> dict[Line, int]:
    terms, census, fullness = terms or Terms(WINDOW), census or Census(), Fullness()
    fullness.look(census, terms.window)
    plan = Plan(lines, census, fullness, terms)
    return dict(plan.wants(limit))


def holding(*held: tuple[Line, int]) -> Census:
    census = Census()
    for each, count in held:
        census.add(each, count)
    return census


def test_one_alone_has_the_whole_window() -> None:
    assert wants([line("alice")]) == {line("alice"): WINDOW}


def test_submitters_divide_the_window() -> None:
    lines = [line(name) for name in "abcd"]
    assert wants(lines) == dict.fromkeys(lines, WINDOW // 4)


def test_weights_divide_it_too() -> None:
    terms = Terms(WINDOW, weight=lambda name: 3.0 if name == "heavy" else 1.0)
    assert wants([line("heavy"), line("light")], terms=terms) == {line("heavy"): 150, line("light"): 50}


def test_a_flooder_who_fills_the_window_keeps_nobody_out() -> None:
    census = holding((line("flooder"), WINDOW))
    assert wants([line("flooder"), line("alice")], census) == {line("alice"): WINDOW // 2 // SPREAD}


def test_a_thousand_submitters_who_fill_the_window_keep_nobody_out() -> None:
    held = [line(f"submitter-{number}") for number in range(100)]
    census = holding(*((each, LEAST_PART) for each in held))
    assert wants([*held, line("alice")], census) == {line("alice"): 1}


def test_what_was_full_is_claimed_again_when_half_of_it_is_left() -> None:
    census, fullness, terms = holding((line("alice"), WINDOW)), Fullness(), Terms(WINDOW)
    for left, wanted in ((WINDOW, 0), (WINDOW // 2 + 1, 0), (WINDOW // 2, WINDOW // 2)):
        census.add(line("alice"), left - census.lines[line("alice")])
        fullness.look(census, WINDOW)
        assert sum(count for _, count in Plan([line("alice")], census, fullness, terms).wants(WINDOW)) == wanted


def test_what_cannot_be_granted_is_in_the_way_of_its_own_sort_only() -> None:
    blocked, free = line("alice", cpu=9), line("alice")
    assert wants([blocked, free], holding((blocked, WINDOW))) == {free: WINDOW}


def test_one_submitter_with_a_thousand_sorts_of_request_has_a_bounded_part() -> None:
    lines = [line("flooder", cpu=number) for number in range(1, 1_001)]
    others = [line(name) for name in ("alice", "bob", "carol")]
    planned = wants([*lines, *others], limit=10_000)
    assert sum(count for each, count in planned.items() if each.submitter == "flooder") <= PARTS_OF_ONE * WINDOW // 4
    assert all(planned[each] == WINDOW // 4 for each in others)


def test_one_in_ten_is_of_a_less_urgent_priority() -> None:
    urgent, later, last = line("alice", 0), line("bob", 5), line("carol", 9)
    planned = wants([urgent, last, later], limit=100)
    assert planned == {urgent: 90, last: 10}
    # The next time it is another's turn: those served come last.
    assert wants([urgent, later, last], limit=100)[later] == 10


def test_what_is_left_by_the_most_urgent_goes_to_the_next() -> None:
    urgent, later, last = line("alice", 0), line("bob", 5), line("carol", 9)
    census = holding((urgent, WINDOW - 10))
    assert wants([last, later, urgent], census, limit=100) == {urgent: 10, later: 80, last: 10}


def test_allowances_bound_what_is_claimed_of_a_submitter_in_all() -> None:
    terms = Terms(WINDOW, allowance=lambda name: 5 if name == "alice" else None)
    planned = wants([line("alice"), line("alice", 2), line("bob")], terms=terms)
    assert planned[line("alice")] + planned.get(line("alice", 2), 0) == 5
    assert planned[line("bob")] == WINDOW // 2


def test_closed_lines_are_passed_over() -> None:
    terms = Terms(WINDOW, closed=lambda each: each.submitter == "alice")
    assert wants([line("alice"), line("bob")], terms=terms) == {line("bob"): WINDOW}


def test_beside_other_nodes_little_is_held() -> None:
    lines = [line(f"submitter-{number}") for number in range(50)]
    held = Census()
    for _ in range(10):
        for each, count in wants(lines, held, limit=4, terms=Terms(4)).items():
            held.add(each, count)
    assert 4 <= sum(held.lines.values()) <= 4 * SPREAD


def test_a_line_that_had_fewer_than_were_wanted_is_empty() -> None:
    claims = Claims()
    claims.ring.learn(line("alice"))
    planned = claims.wants(10, Census(), Terms(WINDOW))
    claims.got(planned, [line("alice")] * 9)
    assert list(claims.ring.lines) == []


def test_what_is_not_for_this_node_is_no_backlog_and_takes_no_room_that_others_need() -> None:
    terms, claims = Terms(WINDOW, closed=lambda line: line.submitter.startswith("elsewhere")), Claims()
    elsewhere = [line(f"elsewhere-{number}") for number in range(REMEMBERED)]
    for each in elsewhere[1:]:
        claims.ring.learn(each)
    walks = claims.ring.walks()
    claims.ring.saw(walks, Seen([], [], [], []))
    assert claims.wants(WINDOW, Census(), terms) == []
    assert not claims.leave(terms)
    claims.ring.learn(elsewhere[0])
    assert claims.wants(WINDOW, Census(), terms) == []
    near, far, _ = claims.ring.walks()
    assert (near.steps, far.steps) == (NEAR_STEPS, FAR_STEPS), "forgotten, to look for what others may have"
    claims.ring.learn(line("alice"))
    assert claims.leave(terms)
