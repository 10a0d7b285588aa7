"""A quote: what a cart costs for a customer, which offers applied, which nearly did, and what codes were worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.common.errors import FailedPrecondition
from services.loyalty.domain.books import Books, Needs, together
from services.loyalty.domain.cart import Cart, check_cart
from services.loyalty.domain.choice import Choice, choose
from services.loyalty.domain.coupon import CouponBudgetSpent
from services.loyalty.domain.coupon_uses import Presented, Till, Verdict, open_till, presenting_needs, weigh
from services.loyalty.domain.earning import Boost
from services.loyalty.domain.guesses import Guesser, check_guesses
from services.loyalty.domain.offer import Offer, OfferUsage, offer_usage_refs
from services.loyalty.domain.people import names_needs, names_of
from services.loyalty.domain.personal_price import PersonalDiscount, QuotedPersonal
from services.loyalty.domain.personal_quote import discount_refs, discounts_for, quoted_personal
from services.loyalty.domain.price_model import PriceStanding, knowledge_of
from services.loyalty.domain.pricing import Effect, Pricing
from services.loyalty.domain.program import Program
from services.loyalty.domain.qualification import Lack, Usages, idle_lack, lack_of
from services.loyalty.domain.quoted_points import QuotedPoints, earning_refs, person_refs, quoted_points
from services.loyalty.domain.records import Ref
from services.loyalty.domain.share import WHOLE
from services.loyalty.domain.shopper import known_of, segments_of


class CouponNotNeeded(FailedPrecondition):
    """No offer uses the code for this cart, or others take off more without it."""


NOT_NEEDED = "the code takes nothing off this cart, or others take off more"


@dataclass(frozen=True, slots=True)
class LinePart:
    """What one offer took off one line."""

    offer_id: str
    discount_minor: int


@dataclass(frozen=True, slots=True)
class QuotedLine:
    """A line at its list price, and what was taken off it."""

    line_id: str
    item_id: str
    quantity: int
    list_minor: int
    discount_minor: int
    parts: tuple[LinePart, ...] = ()

    @property
    def total_minor(self) -> int:
        """What it costs."""
        return self.list_minor - self.discount_minor


@dataclass(frozen=True, slots=True)
class AppliedOffer:
    """An offer that applied, and why: the name and the code that people know it by."""

    offer_id: str
    name: str
    discount_minor: int
    shipping_minor: int = 0
    gift_item_id: str = ""
    gift_quantity: int = 0
    points_multiplier: int = WHOLE
    code: str = ""


@dataclass(frozen=True, slots=True)
class QuotedCode:
    """What a code was worth."""

    code: str
    campaign_id: str = ""
    discount_minor: int = 0
    reason: str = ""
    message: str = ""
    missing_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a cart costs for this customer."""

    customer_id: str
    currency: str
    time: int
    lines: tuple[QuotedLine, ...]
    shipping_minor: int
    shipping_discount_minor: int
    applied: tuple[AppliedOffer, ...]
    nearly: tuple[Lack, ...]
    missed: tuple[Lack, ...]
    codes: tuple[QuotedCode, ...]
    points: tuple[QuotedPoints, ...]
    exact: bool
    personal: tuple[QuotedPersonal, ...] = ()

    @property
    def list_minor(self) -> int:
        """The lines at list price."""
        return sum(line.list_minor for line in self.lines)

    @property
    def discount_minor(self) -> int:
        """Everything that is taken off, shipping too."""
        return sum(line.discount_minor for line in self.lines) + self.shipping_discount_minor

    @property
    def total_minor(self) -> int:
        """What is to be paid."""
        return self.list_minor + self.shipping_minor - self.discount_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked: a cart, codes and the offers of the moment."""

    cart: Cart
    presented: Sequence[Presented]
    offers: Sequence[Offer]
    guesser: Guesser
    order_id: str = ""
    standing: PriceStanding | None = None
    """What is kept of the person's answers to prices, where an offer asks for it."""

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """Everything that reckoning reads."""
        needs = presenting_needs(programs, self.presented, self.order_id, self.guesser)
        earning = earning_refs(programs, self.cart.currency)
        names = names_needs((self.guesser.customer_id,), self._of_person)
        return together([needs, Needs(records=[*earning]), names])

    def _of_person(self, books: Books, names: Sequence[str]) -> list[Ref[Any]]:
        """What the person used of the offers and earned, once all of their names are known."""
        offer_ids = [offer.offer_id for offer in self.offers]
        told = dict.fromkeys((self.guesser.customer_id, *names))
        usages = [ref for each in offer_ids for name in told for ref in offer_usage_refs(each, name)]
        earning = person_refs(books, self.guesser.customer_id, self.cart.currency)
        return [*usages, *discount_refs(self.offers, told), *earning]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteCart:
    """Asks what a cart costs. The books stay as they are."""

    asked: Asked

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return self.asked.needs(programs)

    def apply(self, books: Books, now: int) -> Quote:
        return reckon(books, self.asked, now).quote


@dataclass(frozen=True, slots=True)
class Reckoned:
    """A quote, and the till that has its codes, which is not closed yet."""

    quote: Quote
    till: Till


def reckon(books: Books, asked: Asked, now: int) -> Reckoned:
    """What the cart costs now. ``CouponGuessesExceeded``, ``CartInvalid`` or ``CouponOrderOfAnother``."""
    check_guesses(books, asked.guesser, now)
    cart = check_cart(asked.cart)
    cart = replace(cart, shopper=replace(cart.shopper, segment_ids=segments_of(books, cart.shopper)))
    refused: dict[str, Verdict] = {}
    while True:
        till = open_till(books, cart, asked.order_id, now)
        presented = [each for each in asked.presented if each.code not in refused]
        verdicts = {each.code: weigh(till, each) for each in presented}
        known = _Known(books, asked, cart, now, {v.campaign_id for v in verdicts.values() if not v.refusal})
        choice = known.choose()
        # Again, with what they take off: a campaign's budget may not allow that. One code of a campaign is enough.
        till = open_till(books, cart, asked.order_id, now)
        seen: set[str] = set()
        for each in presented:
            verdict = verdicts[each.code]
            discount = known.worth(choice, verdict.campaign_id)
            if verdict.refusal is None and discount is not None and verdict.campaign_id not in seen:
                verdicts[each.code] = weigh(till, replace(each, discount_minor=discount))
                seen.add(verdict.campaign_id)
            elif verdict.refusal is None:
                verdicts[each.code] = Verdict(each.code, refusal=CouponNotNeeded(NOT_NEEDED))
        overdrawn = {code: v for code, v in verdicts.items() if isinstance(v.refusal, CouponBudgetSpent)}
        if not overdrawn:
            return Reckoned(known.quote(choice, {**refused, **verdicts}), till)
        refused |= overdrawn


class _Known:
    """Everything that a quote is made of, once it is known which campaigns are presented."""

    def __init__(self, books: Books, asked: Asked, cart: Cart, now: int, campaigns: set[str]) -> None:
        self._books, self._asked, self._cart, self._now = books, asked, cart, now
        self._offers = {
            offer.offer_id: offer for offer in asked.offers if offer.currency == cart.currency and offer.open_at(now)
        }
        self._discounts: Mapping[str, PersonalDiscount] = discounts_for(
            books,
            self._offers.values(),
            cart.shopper.customer_id,
            knowledge_of(asked.standing, now) if asked.standing else None,
            now,
        )
        self._pricing = Pricing(cart, now, {each.offer_id: each.share for each in self._discounts.values()})
        self._usages: Usages = {offer_id: self._usage(offer_id) for offer_id in self._offers}
        facts = cart.facts(now, known_of(books, cart.shopper.customer_id, now))
        lacks = [
            lack_of(offer, self._pricing, facts, self._usages, frozenset(campaigns)) for offer in self._offers.values()
        ]
        self._lacks: dict[str, Lack] = {lack.offer_id: lack for lack in lacks if lack}

    def choose(self) -> Choice:
        """The best combination of the offers that lack nothing."""
        eligible = [offer for offer_id, offer in self._offers.items() if offer_id not in self._lacks]
        budgets = {
            offer.offer_id: offer.budget_minor - self._usages[offer.offer_id][0].discount_minor
            for offer in eligible
            if offer.budget_minor
        }
        return choose(self._pricing, eligible, budgets)

    def worth(self, choice: Choice, campaign_id: str) -> int | None:
        """What the offers of a campaign take off; ``None`` if none of them was chosen."""
        found = [
            effect.discount_minor
            for effect in choice.effects
            if campaign_id and self._offers[effect.offer_id].coupon_campaign_id == campaign_id
        ]
        return sum(found) if found else None

    def quote(self, choice: Choice, verdicts: Mapping[str, Verdict]) -> Quote:
        """The quote."""
        cart, effects = self._cart, choice.effects
        lines = tuple(
            QuotedLine(
                line.line_id,
                line.item_id,
                line.quantity,
                line.total_minor,
                sum(effect.lines.get(line.line_id, 0) for effect in effects),
                tuple(
                    LinePart(effect.offer_id, effect.lines[line.line_id])
                    for effect in effects
                    if line.line_id in effect.lines
                ),
            )
            for line in cart.lines
        )
        lacks = self._all_lacks(choice)
        codes = {v.campaign_id: v.code for v in verdicts.values() if v.use}
        return Quote(
            customer_id=cart.shopper.customer_id,
            currency=cart.currency,
            time=self._now,
            lines=lines,
            shipping_minor=cart.shipping_minor,
            shipping_discount_minor=sum(effect.shipping_minor for effect in effects),
            applied=tuple(self._applied(effect, codes) for effect in effects),
            nearly=tuple(lack for lack in lacks if lack.nearly),
            missed=tuple(lack for lack in lacks if not lack.nearly and lack.reason != "COUPON_NEEDED"),
            codes=tuple(self._code(each.code, verdicts[each.code], choice) for each in self._asked.presented),
            points=self._points(lines, effects),
            exact=choice.exact,
            personal=tuple(
                quoted_personal(self._offers[offer_id], discount, self._pricing, effects)
                for offer_id, discount in sorted(self._discounts.items())
                if offer_id not in self._lacks and self._pricing.matching(self._offers[offer_id].action.items)
            ),
        )

    def _applied(self, effect: Effect, codes: Mapping[str, str]) -> AppliedOffer:
        offer = self._offers[effect.offer_id]
        return AppliedOffer(
            offer.offer_id,
            offer.name,
            effect.discount_minor,
            effect.shipping_minor,
            effect.gift_item_id,
            effect.gift_quantity,
            effect.points_multiplier,
            codes.get(offer.coupon_campaign_id, ""),
        )

    def _all_lacks(self, choice: Choice) -> list[Lack]:
        lacks = dict(self._lacks)
        chosen = {effect.offer_id for effect in choice.effects}
        for offer_id, offer in self._offers.items():
            if offer_id in lacks or offer_id in chosen:
                continue
            self._pricing.reset()
            idle = self._pricing.apply(offer).idle
            outdone = Lack(offer_id, offer.name, "OTHERS_BETTER")
            lacks[offer_id] = idle_lack(offer, self._pricing) if idle else outdone
        return [lacks[offer_id] for offer_id in sorted(lacks)]

    def _code(self, code: str, verdict: Verdict, choice: Choice) -> QuotedCode:
        refusal = verdict.refusal
        if refusal is None:
            return QuotedCode(code, verdict.campaign_id, self.worth(choice, verdict.campaign_id) or 0)
        missing = int(refusal.metadata.get("missing_minor", 0))
        return QuotedCode(code, verdict.campaign_id, 0, refusal.reason, refusal.message, missing)

    def _points(self, lines: Sequence[QuotedLine], effects: Sequence[Effect]) -> tuple[QuotedPoints, ...]:
        boosts = [Boost(each.offer_id, each.points_multiplier) for each in effects if each.points_multiplier > WHOLE]
        paid = {line.line_id: line.total_minor for line in lines}
        shipping = self._cart.shipping_minor - sum(effect.shipping_minor for effect in effects)
        return quoted_points(self._books, self._cart, paid, boosts, sum(paid.values()) + shipping, self._now)

    def _usage(self, offer_id: str) -> tuple[OfferUsage, OfferUsage]:
        customer_id = self._cart.shopper.customer_id
        whole, _ = offer_usage_refs(offer_id, customer_id)
        mine = OfferUsage(offer_id, customer_id)
        for name in names_of(self._books, customer_id):
            if used := self._books.record(offer_usage_refs(offer_id, name)[1]):
                mine = mine.plus(used.uses, used.discount_minor)
        return self._books.record(whole) or OfferUsage(offer_id), mine
