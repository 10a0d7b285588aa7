"""What retailers do with offers: they are created, changed and paused."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.coupon import CAMPAIGNS, CouponCampaignNotFound
from services.loyalty.domain.offer import (
    OFFERS,
    OFFERS_MAX,
    Offer,
    OfferExists,
    OfferLimitReached,
    OfferNotFound,
    check_offer,
)
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOffer:
    """Puts an offer up, where the tenant has ``existing`` ones."""

    offer: Offer
    existing: int

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        offer = self.offer
        return Needs(records=(Ref(OFFERS, offer.offer_id), Ref(CAMPAIGNS, offer.coupon_campaign_id or "-")))

    def apply(self, books: Books, now: int) -> Offer:
        offer = replace(self.offer, create_time=now)
        check_offer(offer)
        if books.record(Ref(OFFERS, offer.offer_id)):
            raise OfferExists(f"there is an offer {offer.offer_id} already", offer_id=offer.offer_id)
        if self.existing >= OFFERS_MAX:
            raise OfferLimitReached(
                f"a tenant may have {OFFERS_MAX} offers; pause and replace others", limit=OFFERS_MAX
            )
        if offer.coupon_campaign_id and not books.record(Ref(CAMPAIGNS, offer.coupon_campaign_id)):
            raise CouponCampaignNotFound(
                f"there is no coupon campaign {offer.coupon_campaign_id}", campaign_id=offer.coupon_campaign_id
            )
        books.put_record(Ref(OFFERS, offer.offer_id), offer)
        return offer


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOffer:
    """Pauses an offer, lets it go on, or changes its end and priority (``None``: as before)."""

    offer_id: str
    paused: bool | None = None
    end_time: int | None = None
    priority: int | None = None

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(Ref(OFFERS, self.offer_id),))

    def apply(self, books: Books, now: int) -> Offer:
        offer = books.record(Ref(OFFERS, self.offer_id))
        if offer is None:
            raise OfferNotFound(f"there is no offer {self.offer_id}", offer_id=self.offer_id)
        changed = replace(
            offer,
            paused=offer.paused if self.paused is None else self.paused,
            end_time=offer.end_time if self.end_time is None else self.end_time,
            priority=offer.priority if self.priority is None else self.priority,
        )
        check_offer(changed)
        books.put_record(Ref(OFFERS, self.offer_id), changed)
        return changed
