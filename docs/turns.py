"""Two ways or more, timed in turns on one machine: what runs beside them then meets all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def in_turns(rounds: int, ways: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of every way in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(ours: list[float], theirs: list[float]) -> str:
    """How many times as long the other way takes, median and range of the rounds."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return f"ratio {statistics.median(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}]"
