"""What people do with referrals: campaigns are opened, codes issued, friends attributed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.common.errors import FailedPrecondition, NotFound
from services.loyalty.domain.books import Books, Needs, together
from services.loyalty.domain.people import names_needs, names_of
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref
from services.loyalty.domain.referral import (
    BOOK,
    CAMPAIGNS_MAX,
    CHAIN_MAX,
    CODES,
    COUNTS,
    Advocate,
    AlreadyReferred,
    Referral,
    ReferralBook,
    ReferralCampaign,
    ReferralCampaignExists,
    ReferralCampaignInvalid,
    ReferralCampaignLimitReached,
    ReferralCode,
    ReferralCodeNotFound,
    ReferralCounts,
    ReferralLoop,
    ReferralOfCustomer,
    ReferralOfOneself,
    ReferralState,
    advocate_ref,
    put,
    referral_ref,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateReferralCampaign:
    """Opens a campaign."""

    campaign: ReferralCampaign

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(BOOK,))

    def apply(self, books: Books, now: int) -> ReferralCampaign:
        campaign = replace(self.campaign, create_time=now)
        if not campaign.advocate_points and not campaign.friend_points:
            raise ReferralCampaignInvalid("a campaign rewards one side at least", field="advocate_points")
        if bool(campaign.period_limit) != bool(campaign.period):
            raise ReferralCampaignInvalid("a limit by period needs the period, and only it does", field="period")
        program = books.program(campaign.program_id)
        if program.currency != campaign.currency:
            raise ReferralCampaignInvalid(f"the programme is in {program.currency}", field="currency")
        book = books.record(BOOK) or ReferralBook()
        if any(each.campaign_id == campaign.campaign_id for each in book.campaigns):
            raise ReferralCampaignExists(
                f"there is a referral campaign {campaign.campaign_id} already", campaign_id=campaign.campaign_id
            )
        if len(book.campaigns) >= CAMPAIGNS_MAX:
            raise ReferralCampaignLimitReached(f"a tenant may have {CAMPAIGNS_MAX}", limit=CAMPAIGNS_MAX)
        books.put_record(BOOK, ReferralBook((*book.campaigns, campaign)))
        return campaign


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueReferralCode:
    """Gives a customer a code, or the one that they have; ``code`` is the new one, drawn at random."""

    campaign_id: str
    customer_id: str
    code: str
    identifiers: tuple[str, ...]

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        advocate = advocate_ref(self.campaign_id, self.customer_id)
        return Needs(records=(BOOK, advocate, Ref(CODES, self.code), Ref(COUNTS, self.campaign_id)))

    def apply(self, books: Books, now: int) -> Advocate:
        campaign = (books.record(BOOK) or ReferralBook()).get(self.campaign_id)
        at = advocate_ref(campaign.campaign_id, self.customer_id)
        advocate = books.record(at)
        if advocate is None:
            advocate = Advocate(campaign_id=campaign.campaign_id, customer_id=self.customer_id, code=self.code)
            books.put_record(Ref(CODES, self.code), ReferralCode(self.code, campaign.campaign_id, self.customer_id))
            counts = books.record(Ref(COUNTS, campaign.campaign_id)) or ReferralCounts()
            books.put_record(Ref(COUNTS, campaign.campaign_id), replace(counts, codes=counts.codes + 1))
        known = tuple(sorted({*advocate.identifiers, *self.identifiers}))
        advocate = replace(advocate, identifiers=known)
        books.put_record(at, advocate)
        return advocate


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeReferral:
    """Remembers who brought a friend."""

    code: str
    friend_id: str
    identifiers: tuple[str, ...] = ()

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        members = [(program_id, self.friend_id) for program_id in programs]
        return Needs(records=(BOOK, Ref(CODES, self.code)), members=members, then=self._owner)

    def _owner(self, books: Books) -> Needs:
        code = books.record(Ref(CODES, self.code))
        if code is None:
            return Needs()
        campaign_id = code.campaign_id
        people = names_needs(
            (self.friend_id, code.customer_id),
            lambda books, names: [
                ref
                for each in {self.friend_id, code.customer_id, *names}
                for ref in (advocate_ref(campaign_id, each), referral_ref(campaign_id, each))
            ],
        )
        counts = Needs(records=(Ref(COUNTS, campaign_id),))
        chain = Needs(then=lambda books: _chain(books, campaign_id, code.customer_id, CHAIN_MAX))
        return together([counts, people, chain])

    def apply(self, books: Books, now: int) -> Referral:
        code = books.record(Ref(CODES, self.code))
        if code is None:
            raise ReferralCodeNotFound("there is no such referral code")
        campaign = (books.record(BOOK) or ReferralBook()).get(code.campaign_id)
        existing = _brought(books, campaign.campaign_id, self.friend_id)
        if existing and existing.advocate_id == code.customer_id:
            return existing
        self._check(books, campaign, code.customer_id)
        if existing:
            raise AlreadyReferred("somebody else has brought this customer", friend_id=self.friend_id)
        referral = Referral(
            campaign_id=campaign.campaign_id,
            advocate_id=code.customer_id,
            friend_id=self.friend_id,
            code=code.code,
            state=ReferralState.ATTRIBUTED,
            update_time=now,
        )
        return put(books, referral, ReferralState.ATTRIBUTED, now, now + campaign.attribution_window)

    def _check(self, books: Books, campaign: ReferralCampaign, advocate_id: str) -> None:
        advocates = {advocate_id, *names_of(books, advocate_id)}
        names = {self.friend_id, *names_of(books, self.friend_id)}
        known = {
            each: {*found.identifiers}
            for each in (*advocates, *names)
            if (found := books.record(advocate_ref(campaign.campaign_id, each)))
        }
        theirs = {*self.identifiers}.union(*(known.get(each, set()) for each in names))
        if names & advocates or theirs & set[str]().union(*(known.get(each, set()) for each in advocates)):
            raise ReferralOfOneself("nobody can refer themselves, or their household")
        if names & _ancestors(books, campaign.campaign_id, advocate_id):
            raise ReferralLoop("this customer has brought the advocate")
        members = [books.found(program_id, self.friend_id) for program_id in books.programs]
        if any(member.orders for member in members if member):
            raise ReferralOfCustomer("this customer has ordered before")


def _chain(books: Books, campaign_id: str, customer_id: str, left: int) -> Needs:
    """What tells who brought somebody, under whatever name, and who brought those."""

    def on(books: Books) -> Needs:
        found = _brought(books, campaign_id, customer_id)
        return _chain(books, campaign_id, found.advocate_id, left - 1) if found and left else Needs()

    return names_needs(
        (customer_id,), lambda books, names: [referral_ref(campaign_id, each) for each in {customer_id, *names}], on
    )


def _brought(books: Books, campaign_id: str, customer_id: str) -> Referral | None:
    """The referral by which a person was brought."""
    names = dict.fromkeys((customer_id, *names_of(books, customer_id)))
    return next((found for each in names if (found := books.record(referral_ref(campaign_id, each)))), None)


def _ancestors(books: Books, campaign_id: str, customer_id: str) -> set[str]:
    """Everybody who brought somebody who brought the customer, under all of their names."""
    ancestors: set[str] = set()
    referral = _brought(books, campaign_id, customer_id)
    while referral and referral.advocate_id not in ancestors:
        ancestors |= {referral.advocate_id, *names_of(books, referral.advocate_id)}
        referral = _brought(books, campaign_id, referral.advocate_id)
    return ancestors


@dataclass(frozen=True, slots=True)
class FriendNamed:
    """An order that a feed told carries a code: it attributes the friend, before the order makes them a customer."""

    code: str
    friend_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return self._attributing.needs(programs)

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Attribute the friend; an order is never refused for its code."""
        try:
            self._attributing.apply(books, now)
        except (FailedPrecondition, NotFound):
            return

    @property
    def _attributing(self) -> AttributeReferral:
        return AttributeReferral(code=self.code, friend_id=self.friend_id)
