"""Pushes that come again and again: at a time, and at every interval from it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When pushes begin; times in microseconds. A start of 0 stands for the moment at which it is stored."""

    interval: int
    start: int = 0

    def next_start(self, now: int) -> int:
        """The first start after ``now``."""
        return now + self.interval - (now - self.start) % self.interval if now >= self.start else self.start

    def due(self, planned: int, now: int) -> int:
        """When the next push begins: as it was planned, unless the plan was changed since."""
        kept = planned >= self.start and (planned - self.start) % self.interval == 0
        return planned if kept else self.next_start(now)
