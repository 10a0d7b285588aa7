"""What the use cases of loyalty need from outside."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from services.common.errors import Refusal
from services.loyalty.domain.account_activity import AccountActivity
from services.loyalty.domain.achievement import AchievementBook
from services.loyalty.domain.achievement_progress import Progress
from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.cart_order import CartOrder
from services.loyalty.domain.coupon import Coupon, CouponCampaign, CouponOrder, CouponUsage
from services.loyalty.domain.earning_rule import EarningRule, ProgramUsage, RuleBook, Trigger
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.kept_quote import KeptQuote
from services.loyalty.domain.member import Member
from services.loyalty.domain.offer import Offer, OfferUsage
from services.loyalty.domain.operations import Operation
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.price_model import PriceStanding
from services.loyalty.domain.program import Program
from services.loyalty.domain.redemption import Redemption
from services.loyalty.domain.referral import Referral, ReferralBook, ReferralCounts
from services.loyalty.domain.refund import RefundedOrder
from services.loyalty.domain.reward import Reward
from services.loyalty.domain.running_check import CheckState
from services.loyalty.domain.shared_account import SharedAccount
from services.loyalty.domain.spending_policy import SpendingPolicy
from services.loyalty.domain.transfer import Transfer

T = TypeVar("T")

UNASKED = ""
"""The request id of what nobody asked for: it is neither remembered nor replayed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A mutation as the caller named it: the same id with the same content is the same mutation."""

    tenant: str
    id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Enterings:
    """Entries in commit order, each with its tenant, and the cursor after them."""

    entries: Sequence[tuple[str, Entry]]
    cursor: str
    caught_up: bool


class Ledger(Protocol):
    """The one way in which anything changes. Operations are applied one after the other, each whole or not at all."""

    async def post(self, request: Request, operation: Operation[T]) -> T:
        """Apply ``operation`` once and answer when it is on disk; a request that was carried out is answered as then.

        Raises the operation's refusal, ``RequestIdReused``, ``LedgerBusy`` or ``Conflict``.
        """
        ...

    async def post_all(self, tenant: str, asked: Sequence[tuple[Request, Operation[T]]]) -> list[T | Refusal]:
        """``post`` for many requests of one tenant: the answer to each or its refusal, once the effects are on disk."""
        ...

    async def apply_order_events(
        self, orders: Mapping[str, ApplyOrderEvents], after: str, cursor: str, follower: str = ...
    ) -> OrderCounts:
        """Apply what a feed told, by tenant, and move its follower from ``after`` to ``cursor``, all in one commit.

        ``Conflict`` if the follower does not stand at ``after``: someone else applied this.
        """
        ...

    async def try_out(self, tenant: str, operation: Operation[T]) -> T:
        """What the operation would answer now, or its refusal; nothing is kept."""
        ...


class Programs(Protocol):
    """The programmes."""

    async def get(self, tenant: str, program_id: str) -> Program:
        """The programme, or ``ProgramNotFound``."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Program], str]:
        """A page by id, and the token of the next."""
        ...

    async def all(self, tenant: str) -> dict[str, Program]:
        """All programmes of the tenant, by id."""
        ...

    def everywhere(self) -> AsyncIterator[tuple[str, str]]:
        """The tenant and id of every programme of all tenants."""
        ...


class Rewards(Protocol):
    """The rewards."""

    async def page(self, tenant: str, program_id: str, limit: int, after: str) -> tuple[list[Reward], str]:
        """A page of a programme's rewards by id, and the token of the next."""
        ...

    async def get(self, tenant: str, program_id: str, reward_id: str) -> Reward | None:
        """One reward."""
        ...

    async def all(self, tenant: str) -> dict[tuple[str, str], Reward]:
        """All rewards of the tenant, by programme and id."""
        ...


class Redemptions(Protocol):
    """What became of rewards that were taken."""

    async def get(self, tenant: str, redemption_id: str) -> Redemption | None:
        """One redemption."""
        ...

    async def page(
        self, tenant: str, program_id: str, member_id: str, limit: int, after: str
    ) -> tuple[list[Redemption], str]:
        """A page of a member's redemptions, latest first, and the token of the next."""
        ...

    async def due(self, tenant: str, as_of: int, limit: int) -> list[Redemption]:
        """Reservations whose time has passed, most overdue first."""
        ...


class Referrals(Protocol):
    """Referrals, to read."""

    async def book(self, tenant: str) -> ReferralBook:
        """All campaigns."""
        ...

    async def counts(self, tenant: str, campaign_id: str) -> ReferralCounts:
        """What came of a campaign."""
        ...

    async def page(
        self, tenant: str, advocate_id: str, friend_id: str, limit: int, after: str
    ) -> tuple[list[Referral], str]:
        """A page of the referrals of an advocate, or of a friend where no advocate is named, latest change first."""
        ...

    async def due(self, tenant: str, as_of: int, limit: int) -> list[Referral]:
        """Referrals that the clock has to look at, most overdue first."""
        ...


class Clubs(Protocol):
    """What members do together, to read: transfers, achievements, shared accounts."""

    async def policy(self, tenant: str, program_id: str) -> SpendingPolicy:
        """A programme's policy; of version 0 where none was set."""
        ...

    async def transfers(
        self, tenant: str, program_id: str, member_id: str, *, received: bool, limit: int, after: str
    ) -> tuple[list[Transfer], str]:
        """A page of what a member sent, or received, latest first, and the token of the next."""
        ...

    async def achievements(self, tenant: str, program_id: str) -> AchievementBook:
        """All achievements of a programme."""
        ...

    async def progress(self, tenant: str, book: AchievementBook, member_id: str) -> dict[str, Progress]:
        """What a member has begun of them, by the achievement's id."""
        ...

    async def shared_account(self, tenant: str, program_id: str, account_id: str) -> SharedAccount | None:
        """One shared account."""
        ...

    async def account_activity(
        self, tenant: str, program_id: str, member_id: str, limit: int, after: str
    ) -> tuple[list[AccountActivity], str]:
        """A page of what users did with the account that is this member, latest first, and the token of the next."""
        ...


class Members(Protocol):
    """The members."""

    async def get_many(self, tenant: str, program_id: str, member_ids: Sequence[str]) -> dict[str, Member]:
        """Those who exist, by the id that is asked for: of one who was merged into another, the other."""
        ...

    async def due(self, tenant: str, program_id: str, as_of: int, limit: int) -> list[str]:
        """At most ``limit`` members for whose points the clock has something to do at ``as_of``, most overdue first."""
        ...

    async def due_page(
        self, tenant: str, program_id: str, as_of: int, limit: int, after: str
    ) -> tuple[list[Member], str]:
        """A page of the members whose points concern the clock until ``as_of``, and the token of the next."""
        ...

    def everyone(self, tenant: str) -> AsyncIterator[Sequence[Member]]:
        """All members of all programmes of the tenant, in pages."""
        ...


class Entries(Protocol):
    """The entries."""

    async def page(
        self, tenant: str, program_id: str, member_id: str, limit: int, after: str
    ) -> tuple[list[Entry], str]:
        """A page of a member's entries, newest first, and the token of the next."""
        ...

    async def of_member(self, tenant: str, member: Member) -> list[Entry]:
        """All entries that made the member what it is, oldest first."""
        ...

    async def entered(
        self, tenant: str, program_id: str, start: int, end: int, limit: int, after: str
    ) -> tuple[list[Entry], str]:
        """A page of what was entered in a programme from ``start`` to before ``end``, oldest first."""
        ...

    async def count(self, tenant: str) -> int:
        """How many the tenant has."""
        ...

    def follow(self, after: str, tenant: str | None) -> AsyncIterator[Enterings]:
        """The feed after a cursor, of one tenant or of all, live and without end."""
        ...


class Checks(Protocol):
    """How far the running check has come."""

    async def state(self, tenant: str) -> CheckState:
        """Where it is, and what it has found."""
        ...

    async def members(self, tenant: str, limit: int, after: str) -> tuple[Sequence[Member], str]:
        """A page of the members of all programmes, and the token of the next."""
        ...

    async def keep(self, tenant: str, before: CheckState, after: CheckState) -> bool:
        """Keep where it is now; false if it is not where it was ``before``: another process was faster."""
        ...


class EarningRules(Protocol):
    """The earning rules."""

    async def of_program(self, tenant: str, program_id: str) -> tuple[RuleBook, ProgramUsage]:
        """All that decides what is earned in a programme, and what each rule has given."""
        ...

    async def versions(
        self, tenant: str, program_id: str, rule_id: str, limit: int, after: str
    ) -> tuple[list[EarningRule], str]:
        """A page of a rule's versions, newest first, and the token of the next."""
        ...


class Occasions(Protocol):
    """Whose occasion falls on which day of the year."""

    async def page(
        self, tenant: str, program_id: str, trigger: Trigger, day_of_year: str, limit: int, after: str
    ) -> tuple[list[str], str]:
        """A page of customers whose birthday, or of members whose joining, was on such a day (``MM-DD``)."""
        ...


class PersonalData(Protocol):
    """What is kept of a person."""

    def of(self, tenant: str, customer_id: str) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
        """Records with their kinds, those of a kind together, in pages; times in microseconds."""
        ...


class OrderFeed(Protocol):
    """How far orders have been applied."""

    async def cursor(self, follower: str = ...) -> str:
        """The cursor that was committed last, of profiles' feed unless another follower is named."""
        ...

    async def counts(self, tenant: str) -> OrderCounts:
        """What became of the tenant's orders."""
        ...

    async def refunded(self, tenant: str) -> dict[tuple[str, str], RefundedOrder]:
        """What has been refunded of the tenant's orders, by programme and order."""
        ...


class Coupons(Protocol):
    """Coupons and their campaigns, to read."""

    async def campaign(self, tenant: str, campaign_id: str) -> CouponCampaign:
        """The campaign, or ``CouponCampaignNotFound``."""
        ...

    async def usage(self, tenant: str, campaign_id: str) -> tuple[int, CouponUsage]:
        """How many codes the campaign has, and how often it was used."""
        ...

    async def campaigns(self, tenant: str, limit: int, after: str) -> tuple[list[CouponCampaign], str]:
        """A page of campaigns by id, and the token of the next."""
        ...

    async def find(self, tenant: str, codes: Sequence[str]) -> dict[str, Coupon]:
        """Those codes that exist."""
        ...

    async def page(
        self, tenant: str, campaign_id: str, holder_id: str, limit: int, after: str
    ) -> tuple[list[Coupon], str]:
        """A page of the codes of a campaign, or of a holder where no campaign is named; and the token of the next."""
        ...

    async def free(self, tenant: str, campaign_id: str, limit: int) -> list[str]:
        """Some codes of the campaign that nobody holds."""
        ...

    async def order(self, tenant: str, order_id: str) -> CouponOrder | None:
        """What the order has done with coupons."""
        ...

    async def orders(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[CouponOrder], str]:
        """A page of a customer's orders with coupons, latest change first; and the token of the next."""
        ...

    async def due(self, tenant: str, as_of: int, limit: int) -> list[CouponOrder]:
        """Orders with reservations whose time has passed, most overdue first."""
        ...

    async def add(self, tenant: str, coupons: Sequence[Coupon]) -> int:
        """Keep those codes that do not exist yet; how many."""
        ...

    def tenants(self) -> AsyncIterator[str]:
        """The tenants that have had campaigns."""
        ...

    async def enlist(self, tenant: str) -> None:
        """Remember that the tenant has campaigns."""
        ...


class Offers(Protocol):
    """Offers, quotes that are kept, and orders made of carts, to read."""

    async def get(self, tenant: str, offer_id: str) -> tuple[Offer, OfferUsage]:
        """The offer and how often it was used, or ``OfferNotFound``."""
        ...

    async def count(self, tenant: str) -> int:
        """How many offers there are."""
        ...

    async def all(self, tenant: str) -> list[Offer]:
        """Every offer that is not paused."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Offer], str]:
        """A page of offers by id, and the token of the next."""
        ...

    async def quote(self, tenant: str, quote_id: str) -> KeptQuote | None:
        """One quote."""
        ...

    async def quotes(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[KeptQuote], str]:
        """A page of a customer's quotes, latest first, and the token of the next."""
        ...

    async def quotes_before(self, tenant: str, before: int, limit: int) -> list[str]:
        """The ids of some quotes from before that instant."""
        ...

    async def order(self, tenant: str, order_id: str) -> CartOrder | None:
        """What the order has used."""
        ...

    async def standing(self, tenant: str, customer_id: str, segment_ids: frozenset[str]) -> PriceStanding:
        """What is kept of a person's answers to prices; ``segment_ids`` are those that the caller knows of."""
        ...
