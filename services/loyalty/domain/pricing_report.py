"""How the discounts of personal offers were distributed, over everybody and over segments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from services.loyalty.domain.personal_price import Basis, Bound, PersonalPrice

LOW, MEDIAN, HIGH = 0.1, 0.5, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Shares that people were quoted, in ten-thousandths, and what part of them stopped where."""

    person_count: int = 0
    share_count: int = 0
    mean_share: float = 0.0
    low_share: int = 0
    median_share: int = 0
    high_share: int = 0
    default_part: float = 0.0
    min_part: float = 0.0
    max_part: float = 0.0


@dataclass(frozen=True, slots=True)
class SegmentDistribution:
    """A segment beside everybody who is not in it."""

    segment_id: str
    inside: Distribution
    outside: Distribution

    @property
    def share_difference(self) -> float:
        """The mean share inside less that outside; 0 where either is empty."""
        both = self.inside.share_count and self.outside.share_count
        return self.inside.mean_share - self.outside.mean_share if both else 0.0


def report(
    prices: Iterable[PersonalPrice], segment_ids: Sequence[str]
) -> tuple[Distribution, tuple[SegmentDistribution, ...]]:
    """The distributions, each person and offer counted with the last of their quotes, in whatever order they come."""
    last: dict[tuple[str, str], PersonalPrice] = {}
    for price in prices:
        key = price.customer_id, price.offer_id
        known = last.get(key)
        if known is None or _order(price) > _order(known):
            last[key] = price
    kept = list(last.values())
    segments = []
    for segment_id in segment_ids:
        inside = [each for each in kept if segment_id in each.segment_ids]
        outside = [each for each in kept if segment_id not in each.segment_ids]
        segments.append(SegmentDistribution(segment_id, distribution(inside), distribution(outside)))
    return distribution(kept), tuple(segments)


def _order(price: PersonalPrice) -> tuple[int, str, str]:
    return price.quote_time, price.quote_id, price.order_id


def distribution(prices: Sequence[PersonalPrice]) -> Distribution:
    """Of these."""
    count = len(prices)
    if not count:
        return Distribution()
    shares = sorted(price.share for price in prices)

    def part(held: Iterable[bool]) -> float:
        return sum(held) / count

    return Distribution(
        person_count=len({price.customer_id for price in prices}),
        share_count=count,
        mean_share=sum(shares) / count,
        low_share=shares[ceil(LOW * count) - 1],
        median_share=shares[ceil(MEDIAN * count) - 1],
        high_share=shares[ceil(HIGH * count) - 1],
        default_part=part(price.basis is not Basis.ESTIMATED for price in prices),
        min_part=part(Bound.MIN_SHARE in price.bounds for price in prices),
        max_part=part(bool({Bound.MAX_SHARE, Bound.MARGIN} & {*price.bounds}) for price in prices),
    )
