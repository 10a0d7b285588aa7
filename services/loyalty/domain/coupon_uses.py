"""Using coupons: reserved and redeemed by an order, rolled back with it, and what a code would be worth."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.common.errors import Conflict, NotFound, Refusal
from services.loyalty.domain.books import Books, Needs, together
from services.loyalty.domain.cart import Cart, check_cart
from services.loyalty.domain.coupon import (
    CAMPAIGNS,
    COUPONS,
    ORDERS,
    Coupon,
    CouponBudgetSpent,
    CouponCampaign,
    CouponOrder,
    CouponOrderOfAnother,
    CouponReservationExpired,
    CouponUsage,
    CouponUse,
    UseState,
    cart_refusal,
    combination_refusal,
    not_found,
    refusal,
    usage_refs,
)
from services.loyalty.domain.days import day_of
from services.loyalty.domain.guesses import Guesser, check_guesses
from services.loyalty.domain.notice import Notice, NoticeKind, note
from services.loyalty.domain.people import names_needs, names_of
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref
from services.loyalty.domain.shopper import known_of, segments_of, shopper_needs


class CouponOrderNotFound(NotFound):
    """The order has used no coupons."""


class CouponOrderChanged(Conflict):
    """The order used more coupons while it was rolled back: read it again."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A code that somebody presents. ``campaign_id`` is that of the code, empty where there is no such code."""

    code: str
    campaign_id: str
    discount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a presented code: its use, or why not."""

    code: str
    campaign_id: str = ""
    use: CouponUse | None = None
    refusal: Refusal | None = None


def presented_refs(presented: Iterable[Presented], order_id: str, customer_id: str) -> list[Ref[Any]]:
    """Everything that weighing these codes reads."""
    refs: list[Ref[Any]] = [Ref(ORDERS, order_id)] if order_id else []
    for each in presented:
        if each.campaign_id:
            refs += [Ref(COUPONS, each.code), Ref(CAMPAIGNS, each.campaign_id)]
            refs += usage_refs(each.campaign_id, customer_id)
    return refs


def presenting_needs(
    programs: Mapping[str, Program], presented: Sequence[Presented], order_id: str, guesser: Guesser
) -> Needs:
    """What a customer who presents codes makes an operation need."""
    refs = presented_refs(presented, order_id, guesser.customer_id)
    shopper = shopper_needs(programs, guesser.customer_id)
    campaigns = [each.campaign_id for each in presented if each.campaign_id]
    names = names_needs(
        (guesser.customer_id,),
        lambda books, names: [ref for each in campaigns for name in names for ref in usage_refs(each, name)],
    )
    return together([replace(shopper, records=[*shopper.records, *guesser.refs, *refs]), names])


@dataclass(slots=True)
class Till:
    """Weighs codes one after the other, and keeps nothing in the books before ``close``."""

    books: Books
    cart: Cart
    now: int
    order: CouponOrder
    reserve_for: int
    """How long codes are reserved, in microseconds; 0: they are redeemed."""
    known: Mapping[str, Any]
    """What loyalty knows of the customer."""
    changed: dict[Ref[Any], Any] = field(default_factory=dict)

    def use(self, presented: Presented) -> CouponUse:
        """The order's use of the code from now on, or the first refusal that it deserves."""
        before = self.order.of(presented.code)
        if before and before.state is UseState.REDEEMED:
            return before
        if before and before.state is UseState.RESERVED:
            use = self._again(before, presented)
        else:
            use = self._first(presented)
        self.order = self.order.having(use, self.now)
        return use

    def close(self) -> None:
        """Keep what was used."""
        for ref, record in self.changed.items():
            self.books.put_record(ref, record)
        before = self.books.record(Ref(ORDERS, self.order.order_id))
        self.books.put_record(Ref(ORDERS, self.order.order_id), self.order)
        for use in self.order.uses:
            known = before.of(use.code) if before else None
            if use.state is UseState.REDEEMED and (known is None or known.state is not UseState.REDEEMED):
                told = coupon_notice(NoticeKind.COUPON_REDEEMED, self.order, use, self.now)
                note(self.books, replace(told, currency=self.cart.currency), use.turn)

    def _first(self, presented: Presented) -> CouponUse:
        customer_id, day = self.cart.shopper.customer_id, day_of(self.now)
        coupon = self._record(Ref(COUPONS, presented.code)) if presented.campaign_id else None
        campaign = self._record(Ref(CAMPAIGNS, presented.campaign_id)) if coupon else None
        usage, own = (self._usage(ref, presented.campaign_id, self.order.customer_id) for ref in self._refs(presented))
        facts = self.cart.facts(self.now, self.known)
        names = names_of(self.books, customer_id)
        held = replace(coupon, holder_id=customer_id) if coupon and coupon.holder_id in names else coupon
        together_used = self._of_all_names(own, presented.campaign_id, names)
        wrong = refusal(held, campaign, usage, together_used, facts, presented.discount_minor)
        if wrong is None and campaign:
            wrong = combination_refusal(campaign, [use for use in self.order.uses if use.state.counts])
        if wrong or coupon is None or campaign is None:
            raise wrong or not_found()
        self.changed[Ref(COUPONS, coupon.code)] = replace(coupon, uses=coupon.uses + 1)
        for ref, each in zip(self._refs(presented), (usage, own), strict=True):
            self.changed[ref] = each.used(day, presented.discount_minor)
        return self._new(coupon, campaign, presented)

    def _again(self, before: CouponUse, presented: Presented) -> CouponUse:
        """A reservation that goes on, or is redeemed: its limits are kept for it, the cart may have changed."""
        if self.now >= before.expire_time:
            raise CouponReservationExpired("the reservation has ended; present the code again", code=before.code)
        campaign: CouponCampaign = self._record(Ref(CAMPAIGNS, before.campaign_id))
        if wrong := cart_refusal(campaign, self.cart.facts(self.now, self.known)):
            raise wrong
        more = presented.discount_minor - before.discount_minor
        for ref in self._refs(presented):
            usage = self._usage(ref, before.campaign_id, self.order.customer_id)
            budget = campaign.limits.budget_minor
            if more > 0 and budget and ref.id == before.campaign_id and usage.discount_minor + more > budget:
                raise CouponBudgetSpent("the coupon's budget is spent")
            self.changed[ref] = replace(usage, discount_minor=usage.discount_minor + more)
        state, expire_time = self._state()
        return replace(before, state=state, expire_time=expire_time, discount_minor=presented.discount_minor)

    def _new(self, coupon: Coupon, campaign: CouponCampaign, presented: Presented) -> CouponUse:
        state, expire_time = self._state()
        ended = self.order.of(coupon.code)
        return CouponUse(
            turn=ended.turn + 1 if ended else 0,
            code=coupon.code,
            campaign_id=campaign.campaign_id,
            state=state,
            time=self.now,
            stackable=campaign.stackable,
            exclusivity_group=campaign.exclusivity_group,
            expire_time=expire_time,
            discount_minor=presented.discount_minor,
        )

    def _state(self) -> tuple[UseState, int]:
        return (UseState.RESERVED, self.now + self.reserve_for) if self.reserve_for else (UseState.REDEEMED, 0)

    def _refs(self, presented: Presented) -> tuple[Ref[CouponUsage], Ref[CouponUsage]]:
        # Under the name that the order has, which may be another of the person's.
        return usage_refs(presented.campaign_id, self.order.customer_id)

    def _of_all_names(self, own: CouponUsage, campaign_id: str, names: Sequence[str]) -> CouponUsage:
        """What a person used of a campaign, under whatever name."""
        day = day_of(self.now)
        for name in names:
            other = self._record(usage_refs(campaign_id, name)[1]) if name != own.customer_id else None
            own = own.with_more(other, day) if other else own
        return own

    def _record(self, ref: Ref[Any]) -> Any:
        return self.changed.get(ref) or self.books.record(ref)

    def _usage(self, ref: Ref[CouponUsage], campaign_id: str, customer_id: str) -> CouponUsage:
        found: CouponUsage | None = self._record(ref)
        return found or CouponUsage(campaign_id, customer_id if ref.id != campaign_id else "")


def open_till(books: Books, cart: Cart, order_id: str, now: int, reserve_for: int = 0) -> Till:
    """A till for the order; ``CouponOrderOfAnother`` if another customer uses coupons in it."""
    customer_id = cart.shopper.customer_id
    cart = replace(cart, shopper=replace(cart.shopper, segment_ids=segments_of(books, cart.shopper)))
    order = books.record(Ref(ORDERS, order_id)) if order_id else None
    if order and order.customer_id not in (customer_id, *names_of(books, customer_id)):
        if any(use.state.counts for use in order.uses):
            raise CouponOrderOfAnother("another customer has used coupons in this order", order_id=order_id)
        order = replace(order, customer_id=customer_id)
    order = order or CouponOrder(order_id=order_id, customer_id=customer_id, update_time=now)
    return Till(books, cart, now, order, reserve_for, known_of(books, customer_id, now))


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCoupons:
    """Reserves codes for an order, or redeems them: all or none. What the order has redeemed stays as it is."""

    order_id: str
    cart: Cart
    presented: Sequence[Presented]
    guesser: Guesser
    reserve_for: int = 0

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return presenting_needs(programs, self.presented, self.order_id, self.guesser)

    def apply(self, books: Books, now: int) -> CouponOrder:
        check_guesses(books, self.guesser, now)
        till = open_till(books, check_cart(self.cart), self.order_id, now, self.reserve_for)
        for each in self.presented:
            try:
                till.use(each)
            except Refusal as wrong:
                wrong.metadata["code"] = each.code
                raise
        till.close()
        return till.order


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighCoupons:
    """What each code would be worth to an order, one after the other; the books stay as they are."""

    order_id: str
    cart: Cart
    presented: Sequence[Presented]
    guesser: Guesser

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return presenting_needs(programs, self.presented, self.order_id, self.guesser)

    def apply(self, books: Books, now: int) -> list[Verdict]:
        check_guesses(books, self.guesser, now)
        till = open_till(books, check_cart(self.cart), self.order_id, now)
        return [weigh(till, each) for each in self.presented]


def weigh(till: Till, presented: Presented) -> Verdict:
    """The use of the code, or its refusal."""
    try:
        use = till.use(presented)
    except Refusal as wrong:
        return Verdict(presented.code, refusal=wrong)
    return Verdict(presented.code, use.campaign_id, use)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBackCoupons:
    """Gives back what an order has reserved and redeemed: some codes, or all. ``uses`` are those that it has."""

    order_id: str
    codes: Sequence[str]
    uses: Sequence[Presented]
    customer_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=presented_refs(self.uses, self.order_id, self.customer_id))

    def apply(self, books: Books, now: int) -> CouponOrder:
        order = books.record(Ref(ORDERS, self.order_id))
        if order is None or any(order.of(code) is None for code in self.codes):
            raise CouponOrderNotFound(f"order {self.order_id} has not used them", order_id=self.order_id)
        if order.customer_id != self.customer_id or {use.code for use in order.uses} != {use.code for use in self.uses}:
            raise CouponOrderChanged("the order has changed in this moment; try again", order_id=self.order_id)
        return give_back(books, order, self.codes or [use.code for use in order.uses], now)


def coupon_notice(kind: NoticeKind, order: CouponOrder, use: CouponUse, now: int) -> Notice:
    """What the customer hears of a use."""
    return Notice(
        kind=kind,
        customer_id=order.customer_id,
        time=now,
        order_id=order.order_id,
        code=use.code,
        campaign_id=use.campaign_id,
        discount_minor=use.discount_minor,
    )


def give_back(books: Books, order: CouponOrder, codes: Iterable[str], now: int) -> CouponOrder:
    """Roll back these codes of the order; what is not reserved or redeemed stays as it is."""
    ended = {UseState.RESERVED: UseState.RELEASED, UseState.REDEEMED: UseState.ROLLED_BACK}
    for use in [use for code in codes if (use := order.of(code)) and use.state.counts]:
        if use.state is UseState.REDEEMED:
            campaign = books.record(Ref(CAMPAIGNS, use.campaign_id))
            told = coupon_notice(NoticeKind.COUPON_ROLLED_BACK, order, use, now)
            note(books, replace(told, currency=campaign.currency if campaign else ""), use.turn)
        order = order.having(_ended(books, order.customer_id, use, ended[use.state], now), now)
    books.put_record(Ref(ORDERS, order.order_id), order)
    return order


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireReservations:
    """Gives back the reservations of these orders whose time has passed; how many there were."""

    orders: Sequence[CouponOrder]

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        refs: list[Ref[Any]] = []
        for order in self.orders:
            uses = [Presented(use.code, use.campaign_id) for use in order.uses]
            refs += presented_refs(uses, order.order_id, order.customer_id)
        return Needs(records=refs)

    def apply(self, books: Books, now: int) -> int:
        count = 0
        for known in self.orders:
            order = books.record(Ref(ORDERS, known.order_id))
            known_codes = {use.code for use in known.uses}
            if order is None or order.customer_id != known.customer_id:
                continue
            for use in order.uses:
                due = use.state is UseState.RESERVED and use.expire_time <= now
                if due and use.code in known_codes:
                    order = order.having(_ended(books, order.customer_id, use, UseState.EXPIRED, now), now)
                    count += 1
            books.put_record(Ref(ORDERS, order.order_id), order)
        return count


def _ended(books: Books, customer_id: str, use: CouponUse, state: UseState, now: int) -> CouponUse:
    day = day_of(use.time)
    coupon = books.record(Ref(COUPONS, use.code))
    if coupon:
        books.put_record(Ref(COUPONS, use.code), replace(coupon, uses=coupon.uses - 1))
    for ref in usage_refs(use.campaign_id, customer_id):
        if usage := books.record(ref):
            books.put_record(ref, usage.returned(day, use.discount_minor))
    return replace(use, state=state, end_time=now)
