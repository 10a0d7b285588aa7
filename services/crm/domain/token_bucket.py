"""The token bucket by which a provider's rate is kept."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBucket:
    """Lets ``rate`` a second through, and ``burst`` at once after a quiet time. Seconds are of any steady clock."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _time: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now: float) -> float:
        """Take one token; answers how many seconds to wait before using it. Waits are handed out in order."""
        if self._time is not None:
            self._tokens = min(self.burst, self._tokens + (now - self._time) * self.rate)
        self._time = now
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self.rate)
