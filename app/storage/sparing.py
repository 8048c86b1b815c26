"""How often the database is looked through for what is seldom there.

Such a look costs what is dead besides (see dead_rows.py). So it is made as often as it should be while it is quick, and
takes a twentieth of the time when it is not, up to a pause of ten seconds.
"""

SHARE = 20
LONGEST_PAUSE_S = 10.0


def pause_s(usual_s: float, took_s: float) -> float:
    """Seconds until the next look, after one that took so long."""
    return max(usual_s, min(SHARE * took_s, LONGEST_PAUSE_S))
