"""How demand answers to price and promotion."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import FailedPrecondition, InvalidArgument

PRODUCTS_MAX = 1_000
PERIODS_MIN = 20


class ElasticityInvalid(InvalidArgument):
    """Elasticities are of products and categories, by week or day."""


class TooFewPeriods(FailedPrecondition):
    """The orders do not span enough periods to tell prices from everything else."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """A figure drawn towards the mean of its group, with the interval that holds the truth nine times out of ten."""

    value: float
    low: float
    high: float
    own: float | None = None


@dataclass(frozen=True, slots=True)
class Elasticity:
    """Of a product, a category, or (with an empty name) of all."""

    name: str
    price: Pooled | None
    promotion_lift: Pooled | None
    period_count: int
    units: float
    price_variation: float | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Elasticities:
    """What was found. Times are microseconds."""

    found: Sequence[Elasticity]
    overall: Elasticity | None
    start: int
    end: int
    product_count: int
    informative_count: int
