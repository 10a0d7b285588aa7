"""The life of coupons against a model that knows nothing but which order uses which code."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.common.errors import Refusal
from services.loyalty.domain.books import Books
from services.loyalty.domain.coupon import COUPONS, ORDERS, USAGES, UseState
from services.loyalty.domain.coupon_operations import CreateCouponCampaign
from services.loyalty.domain.coupon_uses import (
    ExpireReservations,
    Presented,
    RollBackCoupons,
    UseCoupons,
    Verdict,
    WeighCoupons,
)
from services.loyalty.domain.guesses import Guesser
from services.loyalty.domain.records import Ref
from tests.loyalty.making import DAY, NOW
from tests.loyalty.promoting import campaign, cart

LIMITS = {"ones": {"per_customer": 1}, "fives": {"per_code": 5, "per_customer_day": 2}, "paid": {"budget_minor": 100}}
CODES = {name: name.upper() for name in LIMITS}
ORDER_IDS = [f"o{n}" for n in range(12)]
WAIT = DAY // 24


class CouponLife(RuleBasedStateMachine):
    """Orders reserve, redeem and roll back while time passes; the model keeps what counts."""

    def __init__(self) -> None:
        super().__init__()
        self.books, self.now = Books(), NOW
        self.uses: dict[tuple[str, str], tuple[str, int, int, int]] = {}
        """By order and campaign: the customer, the day, the discount, and when it ends (0: never)."""
        for name, limits in LIMITS.items():
            made = campaign(name, limits=limits, stackable=True)
            CreateCouponCampaign(campaign=made).apply(self.books, self.now)

    @rule(
        order=st.sampled_from(ORDER_IDS),
        names=st.lists(st.sampled_from(list(LIMITS)), min_size=1, unique=True),
        discount=st.integers(0, 40),
        reserve=st.booleans(),
    )
    def use(self, order: str, names: list[str], discount: int, reserve: bool) -> None:
        customer = f"p{ORDER_IDS.index(order) % 3}"
        presented = [Presented(CODES[name], name, discount) for name in names]
        shared: dict[str, Any] = {
            "order_id": order,
            "cart": cart(customer_id=customer),
            "presented": presented,
            "guesser": Guesser(customer, "till"),
        }
        weighed = self._unchanged(lambda: WeighCoupons(**shared).apply(self.books, self.now))
        before = dict(self.uses)
        allowed = all(self._model(order, customer, name, discount, reserve) for name in names)
        used = True
        try:
            UseCoupons(reserve_for=WAIT if reserve else 0, **shared).apply(self.books, self.now)
        except Refusal:
            used, self.uses = False, before
        assert used == allowed
        if not reserve:
            assert all(verdict.refusal is None for verdict in weighed) == allowed

    def _unchanged(self, ask: Callable[[], list[Verdict]]) -> list[Verdict]:
        before = dict(self.books.records)
        answer = ask()
        assert self.books.records == before
        return answer

    def _model(self, order: str, customer: str, name: str, discount: int, reserve: bool) -> bool:
        """Whether the model allows it; if so, it is done."""
        day, end = self.now // DAY, self.now + WAIT if reserve else 0
        others = [use for (_, each), use in self.uses.items() if each == name]
        spent = sum(use[2] for use in others)
        own = self.uses.get((order, name))
        if own and own[3] == 0:
            return True
        if own:
            if self.now >= own[3] or (name == "paid" and discount > own[2] and spent - own[2] + discount > 100):
                return False
            self.uses[order, name] = (customer, own[1], discount, end)
            return True
        mine = [use for use in others if use[0] == customer]
        if name == "ones" and mine:
            return False
        if name == "fives" and (len(others) >= 5 or sum(use[1] == day for use in mine) >= 2):
            return False
        if name == "paid" and spent + max(discount, 1) > 100:
            return False
        self.uses[order, name] = (customer, day, discount, end)
        return True

    @precondition(lambda self: self.books.touched_records)
    @rule(order=st.sampled_from(ORDER_IDS))
    def roll_back(self, order: str) -> None:
        found = self.books.record(Ref(ORDERS, order))
        if found is None:
            return
        uses = [Presented(use.code, use.campaign_id) for use in found.uses]
        RollBackCoupons(order_id=order, codes=(), uses=uses, customer_id=found.customer_id).apply(self.books, self.now)
        self.uses = {key: use for key, use in self.uses.items() if key[0] != order}

    @rule(part=st.integers(1, 30))
    def time_passes(self, part: int) -> None:
        self.now += part * WAIT // 2
        orders = [record for ref, record in self.books.records.items() if ref.kind is ORDERS]
        ExpireReservations(orders=orders).apply(self.books, self.now)
        self.uses = {key: use for key, use in self.uses.items() if not 0 < use[3] <= self.now}

    @invariant()
    def every_count_is_that_of_the_uses(self) -> None:
        for name, code in CODES.items():
            uses = [use for (_, each), use in self.uses.items() if each == name]
            coupon, usage = self.books.record(Ref(COUPONS, code)), self.books.record(Ref(USAGES, name))
            assert coupon is not None
            assert coupon.uses == len(uses) == (usage.uses if usage else 0)
            assert (usage.discount_minor if usage else 0) == sum(use[2] for use in uses)
        counting = {
            (order.order_id, use.campaign_id)
            for ref, order in self.books.records.items()
            if ref.kind is ORDERS
            for use in order.uses
            if use.state in (UseState.RESERVED, UseState.REDEEMED)
        }
        assert counting == set(self.uses)


TestCouponLife = CouponLife.TestCase
TestCouponLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
