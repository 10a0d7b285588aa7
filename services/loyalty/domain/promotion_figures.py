"""What offers and codes gave: uses and discounts by day, counted from notices."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.loyalty.domain.days import day_of
from services.loyalty.domain.notice import Notice, NoticeKind
from services.loyalty.domain.records import Kind

_SIGNS = {
    NoticeKind.OFFER_USED: 1,
    NoticeKind.OFFER_ROLLED_BACK: -1,
    NoticeKind.COUPON_REDEEMED: 1,
    NoticeKind.COUPON_ROLLED_BACK: -1,
}


@dataclass(slots=True, kw_only=True)
class PromotionDay:
    """What offers and campaigns of codes gave on a day, in a currency: by their ids uses and minor units, less what was
    taken back that day."""

    currency: str
    day: int
    offers: dict[str, list[int]] = field(default_factory=dict)
    campaigns: dict[str, list[int]] = field(default_factory=dict)

    def add(self, notice: Notice) -> None:
        """Count a notice."""
        sign = _SIGNS[notice.kind]
        table, name = (self.offers, notice.offer_id) if notice.offer_id else (self.campaigns, notice.campaign_id)
        uses, discount = table.get(name, (0, 0))
        table[name] = [uses + sign, discount + sign * notice.discount_minor]


REPORT_PROMOTIONS = Kind("report_promotions", PromotionDay)


def promotion_day(notice: Notice) -> tuple[str, int] | None:
    """The currency and day under which a notice counts; ``None`` for one that is about no promotion."""
    return (notice.currency, day_of(notice.time)) if notice.kind in _SIGNS else None


@dataclass(frozen=True, slots=True)
class PromotionFigures:
    """Uses of one offer, or of the codes of one campaign, and what they took off."""

    offer_id: str
    campaign_id: str
    uses: int
    discount_minor: int


def promotions(days: Iterable[PromotionDay]) -> list[PromotionFigures]:
    """What each offer and each campaign gave in these days, by id."""
    offers: dict[str, list[int]] = {}
    campaigns: dict[str, list[int]] = {}
    for day in days:
        for table, found in ((offers, day.offers), (campaigns, day.campaigns)):
            for name, (uses, discount) in found.items():
                before = table.get(name, (0, 0))
                table[name] = [before[0] + uses, before[1] + discount]
    return [
        *(PromotionFigures(name, "", *figures) for name, figures in sorted(offers.items())),
        *(PromotionFigures("", name, *figures) for name, figures in sorted(campaigns.items())),
    ]
