"""What orders that a feed tells mean for promotions: quotes are used up, cancellations give back, referrals move on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.common.errors import Refusal
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.cart_order import CART_ORDERS, CartOrder, CartOrderState, CommitCart, RollBackCart
from services.loyalty.domain.coupon import ORDERS
from services.loyalty.domain.coupon_uses import Presented, give_back, presented_refs
from services.loyalty.domain.guesses import Guesser
from services.loyalty.domain.kept_quote import QUOTES, KeptQuote
from services.loyalty.domain.offer import OFFERS
from services.loyalty.domain.program import Program
from services.loyalty.domain.quote import Asked
from services.loyalty.domain.records import Ref

FEED = "profiles"
"""Who presents the codes of an order that a feed tells."""


@dataclass(frozen=True, slots=True)
class QuotedOrder:
    """An order that carries the id of a kept quote: it uses up what the quote promised, if that still holds."""

    order_id: str
    quote_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return Needs(records=(Ref(QUOTES, self.quote_id), Ref(CART_ORDERS, self.order_id)), then=self._terms)

    def _terms(self, books: Books) -> Needs:
        kept = books.record(Ref(QUOTES, self.quote_id))
        if kept is None:
            return Needs()
        terms = Needs(records=[Ref(OFFERS, each.offer_id) for each in kept.quote.applied])
        return replace(terms, then=lambda books: self._committing(books, kept).needs(books.programs))

    def _committing(self, books: Books, kept: KeptQuote) -> CommitCart:
        offers = [books.record(Ref(OFFERS, each.offer_id)) for each in kept.quote.applied]
        asked = Asked(
            cart=kept.cart,
            presented=[Presented(code.code, code.campaign_id) for code in kept.quote.codes if not code.reason],
            offers=[offer for offer in offers if offer],
            guesser=Guesser(kept.customer_id, FEED),
            order_id=self.order_id,
        )
        return CommitCart(asked=asked, expected_total_minor=kept.quote.total_minor, spend=None, request_id="")

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Use it up; the order is made, so a quote that does not hold any more is left."""
        kept = books.record(Ref(QUOTES, self.quote_id))
        if kept is None:
            return
        try:
            self._committing(books, kept).apply(books, now)
        except Refusal:
            return


@dataclass(frozen=True, slots=True)
class CancelledOrder:
    """An order that is cancelled, or refunded in full: what it has used is given back."""

    order_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return Needs(records=(Ref(CART_ORDERS, self.order_id), Ref(ORDERS, self.order_id)), then=self._used)

    def _used(self, books: Books) -> Needs:
        cart, coupons = books.record(Ref(CART_ORDERS, self.order_id)), books.record(Ref(ORDERS, self.order_id))
        uses = [Presented(use.code, use.campaign_id) for use in coupons.uses] if coupons else []
        refs = presented_refs(uses, self.order_id, coupons.customer_id) if coupons else []
        needs = self._rolling(cart).needs(books.programs) if cart else Needs()
        return replace(needs, records=[*needs.records, *refs])

    def _rolling(self, cart: CartOrder) -> RollBackCart:
        return RollBackCart(known=cart)

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Give back everything that still counts."""
        cart = books.record(Ref(CART_ORDERS, self.order_id))
        if cart and cart.state is CartOrderState.COMMITTED:
            self._rolling(cart).apply(books, now)
        coupons = books.record(Ref(ORDERS, self.order_id))
        if coupons and any(use.state.counts for use in coupons.uses):
            give_back(books, coupons, [use.code for use in coupons.uses], now)
