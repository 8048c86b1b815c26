from app.task_types.data_processing.fragment import Fragment, bound, combine, join


def test_values_stay_in_the_order_of_their_question_marks() -> None:
    inner = combine("({} + {})", bound(1), bound(2))
    assert combine("{} < {}", inner, bound(3)) == Fragment("(? + ?) < ?", (1, 2, 3))


def test_a_part_used_twice_brings_its_values_twice() -> None:
    assert combine("{0}, {1}, {0}", bound("a"), bound("b")) == Fragment("?, ?, ?", ("a", "b", "a"))


def test_braces_and_question_marks_in_values_are_never_read() -> None:
    nasty = bound("{0} {} ? {nope}")
    assert combine("{}", combine("f({})", nasty)) == Fragment("f(?)", ("{0} {} ? {nope}",))


def test_joined_parts_bring_their_values_along() -> None:
    assert join(" AND ", [bound(1), Fragment("true"), bound(2)]) == Fragment("? AND true AND ?", (1, 2))
    assert not join(", ", [])
