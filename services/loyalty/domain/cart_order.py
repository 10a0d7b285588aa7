"""Orders made of carts: what a quote promised is used up, points are spent, and a cancellation gives all of it back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from services.common.errors import Conflict, FailedPrecondition, NotFound
from services.loyalty.domain.books import Books, Needs, together
from services.loyalty.domain.coupon import ORDERS
from services.loyalty.domain.coupon_uses import Presented, give_back, presented_refs
from services.loyalty.domain.entry import EntryKind, request_entry_id
from services.loyalty.domain.member import Cause
from services.loyalty.domain.notice import Notice, NoticeKind, note
from services.loyalty.domain.offer import offer_usage_refs
from services.loyalty.domain.people import names_of
from services.loyalty.domain.personal_quote import keep_personal
from services.loyalty.domain.points_payment import paid_with
from services.loyalty.domain.program import Program
from services.loyalty.domain.quote import AppliedOffer, Asked, Quote, reckon
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.spending import give_back_points, spend
from services.loyalty.domain.spending_policy import spending_needs


class QuoteChanged(FailedPrecondition):
    """The cart costs something else by now than was expected. Metadata says both totals."""


class CartOrderOfAnother(FailedPrecondition):
    """The order is another customer's."""


class CartOrderNotFound(NotFound):
    """No cart was committed for this order."""


class CartOrderChanged(Conflict):
    """The order was committed anew while it was rolled back: read it again."""


class CartOrderState(Enum):
    """Where an order stands."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class SpentPoints:
    """Points that pay for a part of an order."""

    program_id: str
    points: int
    entry_id: str = ""
    amount_minor: int = 0
    """What of the order they pay, where points have a price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CartOrder:
    """What an order has used."""

    order_id: str
    customer_id: str
    state: CartOrderState
    quote: Quote
    codes: tuple[str, ...]
    time: int
    end_time: int = 0
    spent: SpentPoints | None = None
    turn: int = 0
    """How often it was committed, and rolled back, before."""


CART_ORDERS = Kind("cart_orders", CartOrder)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitCart:
    """Uses offers and codes, and spends points, for an order: all or nothing, and once an order."""

    asked: Asked
    expected_total_minor: int | None
    spend: SpentPoints | None
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        needs = self.asked.needs(programs)
        ordered = replace(needs, records=[*needs.records, Ref(CART_ORDERS, self.asked.order_id)])
        if self.spend is None:
            return ordered
        return together([ordered, spending_needs(self.spend.program_id, self.asked.guesser.customer_id)])

    def apply(self, books: Books, now: int) -> CartOrder:
        asked, customer_id = self.asked, self.asked.guesser.customer_id
        ref = Ref(CART_ORDERS, asked.order_id)
        existing = books.record(ref)
        if existing and existing.state is CartOrderState.COMMITTED:
            if existing.customer_id not in (customer_id, *names_of(books, customer_id)):
                raise CartOrderOfAnother("the order is another customer's", order_id=asked.order_id)
            return existing
        reckoned = reckon(books, asked, now)
        self._check(reckoned.quote)
        spent = self._spend(books, reckoned.quote.total_minor, now)  # the last that can be refused
        reckoned.till.close()
        turn = existing.turn + 1 if existing else 0
        name = f"order/{asked.order_id}/{turn}"
        personal = keep_personal(books, reckoned.quote, asked.cart.shopper, name, order_id=asked.order_id)
        for applied in reckoned.quote.applied:
            _use_offer(books, applied.offer_id, customer_id, 1, applied.discount_minor)
            note(books, _offer_notice(NoticeKind.OFFER_USED, asked.order_id, reckoned.quote, applied, now), turn)
        order = CartOrder(
            order_id=asked.order_id,
            customer_id=customer_id,
            state=CartOrderState.COMMITTED,
            quote=replace(reckoned.quote, personal=personal),
            codes=tuple(code.code for code in reckoned.quote.codes if not code.reason),
            time=now,
            spent=spent,
            turn=turn,
        )
        books.put_record(ref, order)
        return order

    def _check(self, quote: Quote) -> None:
        expected, total = self.expected_total_minor, quote.total_minor
        if expected is not None and expected != total:
            raise QuoteChanged(
                f"the cart costs {total} by now, not {expected}; show it again", expected=expected, total=total
            )

    def _spend(self, books: Books, total_minor: int, now: int) -> SpentPoints | None:
        if self.spend is None:
            return None
        program = books.program(self.spend.program_id)
        member = books.spender(program.id, self.asked.guesser.customer_id)
        amount_minor = paid_with(books, program, self.spend.points, total_minor)
        cause = Cause(
            request_entry_id(self.request_id),
            EntryKind.BURN,
            now,
            now,
            order_id=self.asked.order_id,
            request_id=self.request_id,
            reason="order",
        )
        entry = spend(books, program, member, self.spend.points, cause, self.asked.guesser.customer_id)
        return replace(self.spend, entry_id=entry.id, amount_minor=amount_minor)


def _use_offer(books: Books, offer_id: str, customer_id: str, uses: int, discount_minor: int) -> None:
    from services.loyalty.domain.offer import OfferUsage

    whole, own = offer_usage_refs(offer_id, customer_id)
    for ref, fresh in ((whole, OfferUsage(offer_id)), (own, OfferUsage(offer_id, customer_id))):
        books.put_record(ref, (books.record(ref) or fresh).plus(uses, discount_minor))


def _offer_notice(kind: NoticeKind, order_id: str, quote: Quote, applied: AppliedOffer, now: int) -> Notice:
    return Notice(
        kind=kind,
        customer_id=quote.customer_id,
        time=now,
        order_id=order_id,
        offer_id=applied.offer_id,
        discount_minor=applied.discount_minor,
        currency=quote.currency,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBackCart:
    """Gives back what an order has used, once: offers, codes and points. ``known`` is the order as it was read."""

    known: CartOrder

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        known, customer_id = self.known, self.known.customer_id
        uses = [Presented(code.code, code.campaign_id) for code in known.quote.codes if not code.reason]
        offers = [ref for each in known.quote.applied for ref in offer_usage_refs(each.offer_id, customer_id)]
        records = [Ref(CART_ORDERS, known.order_id), *presented_refs(uses, known.order_id, customer_id), *offers]
        if known.spent is None:
            return Needs(records=records)
        return Needs(records=records, members=((known.spent.program_id, customer_id),), entries=(known.spent.entry_id,))

    def apply(self, books: Books, now: int) -> CartOrder:
        known = self.known
        order = books.record(Ref(CART_ORDERS, known.order_id))
        if order is None or order.state is CartOrderState.ROLLED_BACK:
            return order or known
        if order != known:
            raise CartOrderChanged("the order was committed anew in this moment; try again", order_id=known.order_id)
        coupons = books.record(Ref(ORDERS, order.order_id))
        if coupons and order.codes:
            give_back(books, coupons, order.codes, now)
        for applied in order.quote.applied:
            _use_offer(books, applied.offer_id, order.customer_id, -1, -applied.discount_minor)
            told = _offer_notice(NoticeKind.OFFER_ROLLED_BACK, order.order_id, order.quote, applied, now)
            note(books, told, order.turn)
        if order.spent:
            give_back_points(books, books.entries[order.spent.entry_id], now)
        ended = replace(order, state=CartOrderState.ROLLED_BACK, end_time=now)
        books.put_record(Ref(CART_ORDERS, order.order_id), ended)
        return ended
