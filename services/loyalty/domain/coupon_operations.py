"""What retailers do with coupons: campaigns are created and changed, codes handed out and switched off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.common.errors import InvalidArgument
from services.common.rules.condition import check_condition
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.coupon import (
    CAMPAIGNS,
    COUPONS,
    Coupon,
    CouponCampaign,
    CouponCampaignExists,
    CouponCampaignNotFound,
    CouponCodeExists,
    CouponPoolEmpty,
    not_found,
)
from services.loyalty.domain.coupon_code import check_pattern, normal
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref


class CouponCampaignInvalid(InvalidArgument):
    """A campaign that contradicts itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCouponCampaign:
    """Opens a campaign, with its code where it has a public one."""

    campaign: CouponCampaign

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(Ref(CAMPAIGNS, self.campaign.campaign_id), Ref(COUPONS, normal(self.campaign.code))))

    def apply(self, books: Books, now: int) -> CouponCampaign:
        campaign = replace(self.campaign, code=normal(self.campaign.code), create_time=now)
        check_campaign(campaign)
        reference = Ref(CAMPAIGNS, campaign.campaign_id)
        if books.record(reference):
            raise CouponCampaignExists(
                f"there is a campaign {campaign.campaign_id} already", campaign_id=campaign.campaign_id
            )
        if campaign.code:
            if books.record(Ref(COUPONS, campaign.code)):
                raise CouponCodeExists(f"the code {campaign.code} is in use already", code=campaign.code)
            coupon = Coupon(code=campaign.code, campaign_id=campaign.campaign_id, create_time=now)
            books.put_record(Ref(COUPONS, campaign.code), coupon)
        books.put_record(reference, campaign)
        return campaign


def check_campaign(campaign: CouponCampaign) -> None:
    """``CouponCampaignInvalid``, ``CouponPatternInvalid``, ``RuleInvalid`` or ``RuleUnsupported`` if it is wrong."""
    if bool(campaign.code) == bool(campaign.pattern):
        raise CouponCampaignInvalid("a campaign has either one public code or a pattern of unique ones", field="code")
    if campaign.start_time >= campaign.end_time:
        raise CouponCampaignInvalid("a campaign ends after it starts", field="end_time")
    if campaign.pattern:
        check_pattern(campaign.pattern, campaign.checksum, 1)
    check_condition(campaign.condition, "condition")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCouponCampaign:
    """Pauses a campaign, lets it go on, or changes when it ends (``None``: as before)."""

    campaign_id: str
    paused: bool | None
    end_time: int | None

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(Ref(CAMPAIGNS, self.campaign_id),))

    def apply(self, books: Books, now: int) -> CouponCampaign:
        campaign = known_campaign(books, self.campaign_id)
        changed = replace(
            campaign,
            paused=campaign.paused if self.paused is None else self.paused,
            end_time=campaign.end_time if self.end_time is None else self.end_time,
        )
        check_campaign(changed)
        books.put_record(Ref(CAMPAIGNS, self.campaign_id), changed)
        return changed


def known_campaign(books: Books, campaign_id: str) -> CouponCampaign:
    """The campaign, or ``CouponCampaignNotFound``."""
    campaign = books.record(Ref(CAMPAIGNS, campaign_id))
    if campaign is None:
        raise CouponCampaignNotFound(f"there is no coupon campaign {campaign_id}", campaign_id=campaign_id)
    return campaign


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponBatch:
    """Codes that a job is to generate."""

    job_id: str
    campaign_id: str
    pattern: str
    checksum: bool
    count: int
    create_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCoupons:
    """Orders unique codes, where the campaign has ``existing`` ones."""

    campaign_id: str
    count: int
    existing: int
    job_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(Ref(CAMPAIGNS, self.campaign_id),))

    def apply(self, books: Books, now: int) -> CouponBatch:
        campaign = known_campaign(books, self.campaign_id)
        if not campaign.pattern:
            raise CouponCampaignInvalid("the campaign has one public code; unique ones need a pattern", field="pattern")
        check_pattern(campaign.pattern, campaign.checksum, self.existing + self.count)
        return CouponBatch(
            job_id=self.job_id,
            campaign_id=campaign.campaign_id,
            pattern=campaign.pattern,
            checksum=campaign.checksum,
            count=self.count,
            create_time=now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchCoupon:
    """Switches one code off, or on again."""

    code: str
    disabled: bool

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(Ref(COUPONS, self.code),))

    def apply(self, books: Books, now: int) -> Coupon:
        coupon = books.record(Ref(COUPONS, self.code))
        if coupon is None:
            raise not_found()
        switched = replace(coupon, disabled=self.disabled)
        books.put_record(Ref(COUPONS, self.code), switched)
        return switched


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignCoupon:
    """Gives a customer one of the campaign's free codes: the first of ``candidates`` that is still free."""

    campaign_id: str
    customer_id: str
    candidates: Sequence[str]

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=[Ref(CAMPAIGNS, self.campaign_id), *(Ref(COUPONS, code) for code in self.candidates)])

    def apply(self, books: Books, now: int) -> Coupon:
        known_campaign(books, self.campaign_id)
        return take_code(books, self.campaign_id, self.customer_id, self.candidates)


def take_code(books: Books, campaign_id: str, customer_id: str, candidates: Sequence[str]) -> Coupon:
    """Give the customer a code that is free; ``CouponPoolEmpty`` if none of the candidates is."""
    for code in candidates:
        coupon = books.record(Ref(COUPONS, code))
        if coupon and not coupon.holder_id and not coupon.disabled and not coupon.uses:
            held = replace(coupon, holder_id=customer_id)
            books.put_record(Ref(COUPONS, code), held)
            return held
    raise CouponPoolEmpty(f"no code of {campaign_id} is free; generate more", campaign_id=campaign_id)
