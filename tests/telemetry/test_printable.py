"""What a terminal would obey is shown as text."""

from app.telemetry.printable import printable


def test_printable_keeps_line_feeds_only_where_asked() -> None:
    assert printable("a\nb\tc\x07") == "a\\nb\tc\\x07"
    assert printable("a\nb", lines=True) == "a\nb"
    assert printable("Zürich 東京") == "Zürich 東京"
