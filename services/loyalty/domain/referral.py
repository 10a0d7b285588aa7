"""Referrals: campaigns, codes, who brought whom, and where each stands."""

from dataclasses import dataclass, field, replace
from enum import Enum

from services.common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.loyalty.domain.books import Books
from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.records import Kind, Ref

CAMPAIGNS_MAX = 20
"""Campaigns of one tenant: each first order is looked up in all of them."""
CHAIN_MAX = 20
"""How far back a loop is looked for."""
TIMES_MAX = 1000


class ReferralCampaignExists(AlreadyExists):
    """The id of the new campaign is taken."""


class ReferralCampaignLimitReached(ResourceExhausted):
    """The tenant has as many campaigns as it may."""


class ReferralCampaignInvalid(InvalidArgument):
    """A campaign that rewards nobody, or in another currency than its programme."""


class ReferralCampaignNotFound(NotFound):
    """There is no such campaign."""


class ReferralCodeNotFound(NotFound):
    """There is no such code."""


class ReferralOfOneself(FailedPrecondition):
    """Advocate and friend are one person, or of one household, as far as is known."""


class ReferralLoop(FailedPrecondition):
    """The friend has, directly or through others, brought the advocate."""


class ReferralOfCustomer(FailedPrecondition):
    """The friend has ordered before: nobody has to bring them."""


class AlreadyReferred(FailedPrecondition):
    """Somebody else has brought the friend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralCampaign:
    """What both sides get, for which order, and how often. Times in microseconds; 0 limits are none."""

    campaign_id: str
    name: str
    program_id: str
    currency: str
    advocate_points: int
    friend_points: int
    min_order_minor: int = 0
    attribution_window: int = 30 * DAY_MICROS
    waiting_time: int = 0
    advocate_limit: int = 0
    period_limit: int = 0
    period: int = 0
    create_time: int = 0


@dataclass(frozen=True, slots=True)
class ReferralBook:
    """All campaigns of a tenant, and what came of each."""

    campaigns: tuple[ReferralCampaign, ...] = ()

    def get(self, campaign_id: str) -> ReferralCampaign:
        """The campaign, or ``ReferralCampaignNotFound``."""
        found = next((each for each in self.campaigns if each.campaign_id == campaign_id), None)
        if found is None:
            raise ReferralCampaignNotFound(f"there is no referral campaign {campaign_id}", campaign_id=campaign_id)
        return found


class ReferralState(Enum):
    """Where a referral stands."""

    ATTRIBUTED = "attributed"
    QUALIFIED = "qualified"
    REWARDED = "rewarded"
    CANCELLED = "cancelled"
    LIMITED = "limited"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True)
class ReferralCounts:
    """How many referrals of a campaign stand where, and how many codes there are."""

    codes: int = 0
    attributed: int = 0
    qualified: int = 0
    rewarded: int = 0
    cancelled: int = 0
    limited: int = 0
    lapsed: int = 0

    def moved(self, before: "ReferralState | None", after: "ReferralState") -> "ReferralCounts":
        """With one that went from one state to another."""
        changed = replace(self, **{after.value: getattr(self, after.value) + 1})
        return changed if before is None else replace(changed, **{before.value: getattr(changed, before.value) - 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Advocate:
    """Who has a code, what is known of them, and when they were rewarded."""

    campaign_id: str
    customer_id: str
    code: str
    identifiers: tuple[str, ...] = ()
    times: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferralCode:
    """Whose code it is."""

    code: str
    campaign_id: str
    customer_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """A state and since when."""

    state: ReferralState
    time: int
    order_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """A friend, and who brought them. ``next_due_time`` is when the clock has to look; none once it is over."""

    campaign_id: str
    advocate_id: str
    friend_id: str
    code: str
    state: ReferralState
    update_time: int
    order_id: str = ""
    order_minor: int = 0
    next_due_time: int | None = None
    history: tuple[Step, ...] = field(default_factory=tuple)

    @property
    def id(self) -> str:
        """Under which it is kept: a friend is brought once a campaign."""
        return f"{self.campaign_id}/{self.friend_id}"


@dataclass(frozen=True, slots=True)
class ReferredOrder:
    """An order that qualified a friend, and what is left of it."""

    friend_id: str
    campaign_ids: tuple[str, ...]
    left_minor: int


REFERRED_ORDERS = Kind("referred_orders", ReferredOrder)
BOOKS = Kind("referral_books", ReferralBook)
BOOK = Ref(BOOKS, "referrals")
COUNTS = Kind("referral_counts", ReferralCounts)
CODES = Kind("referral_codes", ReferralCode)
ADVOCATES = Kind("referral_advocates", Advocate)
REFERRALS = Kind("referrals", Referral)


def referral_ref(campaign_id: str, friend_id: str) -> Ref[Referral]:
    """Where the friend's referral is kept."""
    return Ref(REFERRALS, f"{campaign_id}/{friend_id}")


def advocate_ref(campaign_id: str, customer_id: str) -> Ref[Advocate]:
    """Where the advocate is kept."""
    return Ref(ADVOCATES, f"{campaign_id}/{customer_id}")


def put(books: Books, referral: Referral, state: ReferralState, now: int, next_due_time: int | None) -> Referral:
    """Keep the referral in a new state, with its history and the campaign's counts."""
    before = referral.state if referral.history else None
    step = Step(state, now, referral.order_id)
    moved = replace(
        referral, state=state, update_time=now, next_due_time=next_due_time, history=(*referral.history, step)
    )
    counts = books.record(Ref(COUNTS, referral.campaign_id)) or ReferralCounts()
    books.put_record(Ref(COUNTS, referral.campaign_id), counts.moved(before, state))
    books.put_record(referral_ref(referral.campaign_id, referral.friend_id), moved)
    return moved
