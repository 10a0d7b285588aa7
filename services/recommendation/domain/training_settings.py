"""How a tenant wants its models to be trained, where a training does not say otherwise."""

from dataclasses import dataclass

from services.common.errors import InvalidArgument
from services.recommendation.domain.signals import FeedbackWeights

MICROS_A_DAY = 86_400_000_000
RETENTION_DAYS_MIN, RETENTION_DAYS_MAX = 1.0, 3_650.0


class RetentionInvalid(InvalidArgument):
    """A retention out of range."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What is left open is chosen by measuring."""

    half_life_days: float = 0.0
    """After how many days a purchase counts half; 0 is open."""
    feedback_weights: FeedbackWeights | None = None
    """What views and carts count; ``None`` is open."""
    update_time: int = 0
    """In microseconds; 0 where nothing was ever set."""
    signal_retention_days: float = 0.0
    """After how many days views and carts are deleted; 0 for as the service does."""


def check_retention(days: float) -> None:
    """``RetentionInvalid`` out of the range; 0 is as the service does."""
    if days and not RETENTION_DAYS_MIN <= days <= RETENTION_DAYS_MAX:
        raise RetentionInvalid(
            "signal_retention_duration must be from one day to ten years", field="signal_retention_duration"
        )


def retention_of(settings: TrainingSettings, longest_days: float) -> int:
    """How long views and carts are kept, in microseconds: what is shorter, the tenant's wish or the service's limit; 0
    for ever."""
    wanted = [days for days in (settings.signal_retention_days, longest_days) if days]
    return round(min(wanted, default=0.0) * MICROS_A_DAY)
