"""What people show interest in short of buying it, and what that counts beside a purchase."""

from dataclasses import dataclass
from enum import IntEnum

from services.common.errors import InvalidArgument

HALF_LIFE_DAYS = 30.0
"""After which a view or a cart counts half where nothing else is said: interest is over sooner than a habit."""
HALF_LIFE_DAYS_MIN, HALF_LIFE_DAYS_MAX = 1.0, 3_650.0


class SignalKind(IntEnum):
    """What was done; stored, so that numbers stay as they are."""

    VIEW = 1
    CART = 2


KIND_OF = {
    "Product Viewed": SignalKind.VIEW,
    "Product Clicked": SignalKind.VIEW,
    "Product Added": SignalKind.CART,
    "Wishlist Product Added to Cart": SignalKind.CART,
    "Product Added to Wishlist": SignalKind.CART,
}
"""The events of profiles that are learnt from beside orders."""


class FeedbackWeightsInvalid(InvalidArgument):
    """Weights that no model can be made with."""


@dataclass(frozen=True, slots=True)
class FeedbackWeights:
    """What a day on which somebody looked at an item, or put it into a cart, counts against a purchase of it."""

    view: float = 0.0
    cart: float = 0.0
    half_life_days: float = HALF_LIFE_DAYS

    @property
    def any(self) -> bool:
        """Whether anything but purchases counts."""
        return self.view > 0 or self.cart > 0


PURCHASES_ALONE = FeedbackWeights()


def check_weights(weights: FeedbackWeights) -> None:
    """``FeedbackWeightsInvalid`` for what is not a share of a purchase, or a half-life out of range."""
    if not (0 <= weights.view <= 1 and 0 <= weights.cart <= 1):
        raise FeedbackWeightsInvalid("view_bp and cart_bp must be from 0 to 10,000, which is as much as a purchase")
    if not HALF_LIFE_DAYS_MIN <= weights.half_life_days <= HALF_LIFE_DAYS_MAX:
        raise FeedbackWeightsInvalid("half_life_duration of feedback weights must be from one day to ten years")
