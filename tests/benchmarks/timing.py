"""Time several things side by side, so that what else the machine does hits all of them."""

import timeit
from collections.abc import Callable, Mapping

WINDOW_SECONDS = 0.0005
WINDOWS = 200


def side_by_side(
    cases: Mapping[str, Callable[[], object]], *, windows: int = WINDOWS
) -> dict[str, float]:
    """Return the nanoseconds of one call of each, without the loop around it.

    The cases take turns in short windows, and the fastest window of each counts: whatever
    slows a machine down only ever adds.
    """
    timers = {
        name: timeit.Timer("call()", globals={"call": call}) for name, call in cases.items()
    }
    numbers = {name: _number(timer) for name, timer in timers.items()}
    fastest = dict.fromkeys(cases, float("inf"))
    for _ in range(windows):
        for name, timer in timers.items():
            seconds = timer.timeit(numbers[name]) / numbers[name]
            fastest[name] = min(fastest[name], seconds)
    return {name: seconds * 1e9 for name, seconds in fastest.items()}


def _number(timer: timeit.Timer) -> int:
    """Return how many calls fill a window, once everything is warm."""
    timer.timeit(100)
    return max(1, int(WINDOW_SECONDS / (timer.timeit(100) / 100)))


def shown(nanoseconds: float) -> str:
    """Return a time as people read it, to three digits."""
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def verdict(name: str, ratio: float, bar: float) -> str:
    """Return a line that holds a figure against its bar."""
    return f"  {name:<62}{ratio:>7.2f}  at most {bar:<5.3g} {'yes' if ratio <= bar else 'NO'}"
