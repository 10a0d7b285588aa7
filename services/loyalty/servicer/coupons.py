"""The rpcs of those who use coupons."""

from collections.abc import Iterable
from dataclasses import dataclass

from tessera.loyalty.v1 import cart_pb2
from tessera.loyalty.v1 import coupon_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.loyalty.domain.coupon import CouponOrder, CouponUse, UseState
from services.loyalty.domain.coupon_uses import Verdict
from services.loyalty.domain.days import DAY_MICROS, SECOND_MICROS
from services.loyalty.handlers.coupons import Asking, roll_back_coupons, use_coupons, validate_coupons
from services.loyalty.ports import Coupons, Ledger
from services.loyalty.servicer.calls import Context, named, page_size, timestamp
from services.loyalty.servicer.carts import read_cart, read_duration, time_message

RESERVE_FOR_DEFAULT = 15 * 60 * SECOND_MICROS
RESERVE_FOR_MAX = DAY_MICROS
_STATES = {state: pb.CouponUseState.Value(f"COUPON_USE_STATE_{state.name}") for state in UseState}


@dataclass(frozen=True, kw_only=True)
class CouponRpcs(LoyaltyServiceServicer):
    """Codes at checkouts and tills."""

    ledger: Ledger
    coupons: Coupons

    async def ValidateCoupons(self, request: pb.ValidateCouponsRequest, context: Context) -> pb.ValidateCouponsResponse:
        asking = _asking(request.order_id, request.cart, request.coupons)
        verdicts = await validate_coupons(self.ledger, self.coupons, principal().tenant, asking)
        return pb.ValidateCouponsResponse(verdicts=map(verdict_message, verdicts))

    async def ReserveCoupons(self, request: pb.ReserveCouponsRequest, context: Context) -> pb.ReserveCouponsResponse:
        reserve_for = read_duration(request, "reserve_for", RESERVE_FOR_DEFAULT, RESERVE_FOR_MAX)
        asking = _asking(request.order_id, request.cart, request.coupons)
        order = await use_coupons(self.ledger, self.coupons, named(request), asking, reserve_for)
        return pb.ReserveCouponsResponse(order=order_message(order))

    async def RedeemCoupons(self, request: pb.RedeemCouponsRequest, context: Context) -> pb.RedeemCouponsResponse:
        asking = _asking(request.order_id, request.cart, request.coupons)
        order = await use_coupons(self.ledger, self.coupons, named(request), asking)
        return pb.RedeemCouponsResponse(order=order_message(order))

    async def RollBackCoupons(self, request: pb.RollBackCouponsRequest, context: Context) -> pb.RollBackCouponsResponse:
        order = await roll_back_coupons(self.ledger, self.coupons, named(request), request.order_id, request.codes)
        return pb.RollBackCouponsResponse(order=order_message(order))

    async def ListCouponOrders(
        self, request: pb.ListCouponOrdersRequest, context: Context
    ) -> pb.ListCouponOrdersResponse:
        found, token = await self.coupons.orders(
            principal().tenant, request.customer_id, page_size(request), request.page_token
        )
        return pb.ListCouponOrdersResponse(orders=map(order_message, found), next_page_token=token)


def _asking(order_id: str, cart: cart_pb2.Cart, coupons: Iterable[pb.PresentedCoupon]) -> Asking:
    codes = [(coupon.code, coupon.discount_minor) for coupon in coupons]
    return Asking(principal().subject, order_id, read_cart(cart), codes)


def verdict_message(verdict: Verdict) -> pb.CouponVerdict:
    """Whether a code can be used."""
    refusal = verdict.refusal
    return pb.CouponVerdict(
        code=verdict.code,
        valid=refusal is None,
        campaign_id=verdict.campaign_id,
        reason=refusal.reason if refusal else "",
        message=refusal.message if refusal else "",
        missing_minor=int(refusal.metadata.get("missing_minor", 0)) if refusal else 0,
    )


def _use(use: CouponUse) -> pb.CouponUse:
    return pb.CouponUse(
        code=use.code,
        campaign_id=use.campaign_id,
        state=_STATES[use.state],
        use_time=timestamp(use.time),
        expire_time=timestamp(use.expire_time) if use.state is UseState.RESERVED else None,
        end_time=time_message(use.end_time, 0),
        discount_minor=use.discount_minor,
    )


def order_message(order: CouponOrder) -> pb.CouponOrder:
    """What an order has done with coupons."""
    return pb.CouponOrder(order_id=order.order_id, customer_id=order.customer_id, uses=map(_use, order.uses))
