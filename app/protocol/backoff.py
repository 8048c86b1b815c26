"""How long to wait before another attempt (protocol, "Error Handling": backoff exponential)."""


def backoff_s(failures: int, initial_s: float, max_s: float, draw: float) -> float:
    """Seconds to wait after so many failures: exponential with full jitter.

    `draw` is a random number in [0, 1): the wait is uniform between zero and
    min(max_s, initial_s * 2 ** (failures - 1)). Full jitter spreads the load of tasks that failed
    together better than jitter around the mean (Brooker, "Exponential Backoff And Jitter", 2015).
    """
    # Beyond 2**40 the ceiling has long been reached, and a larger power would overflow a double.
    ceiling = min(max_s, initial_s * 2.0 ** min(failures - 1, 40))
    return ceiling * draw
