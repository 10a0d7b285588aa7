"""Time, passed in rather than read: UTC always, microseconds where it is stored."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def system_clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def to_micros(time: datetime) -> int:
    """Microseconds since the epoch, exactly (a float would round)."""
    return (time - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The instant ``micros`` microseconds after the epoch, in UTC."""
    return EPOCH + timedelta(microseconds=micros)
