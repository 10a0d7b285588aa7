"""How a tenant wants its models to be trained, where a training does not say otherwise."""

from dataclasses import dataclass

from services.recommendation.domain.signals import FeedbackWeights


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What is left open is chosen by measuring."""

    half_life_days: float = 0.0
    """After how many days a purchase counts half; 0 is open."""
    feedback_weights: FeedbackWeights | None = None
    """What views and carts count; ``None`` is open."""
    update_time: int = 0
    """In microseconds; 0 where nothing was ever set."""
