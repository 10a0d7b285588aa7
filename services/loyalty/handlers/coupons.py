"""Coupons: campaigns, codes, and what orders do with them."""

import csv
import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import uuid4

from services.common.clock import from_micros
from services.common.errors import Refusal
from services.common.jobs import Job, JobNotFound, Jobs, Progress
from services.loyalty.domain.cart import Cart
from services.loyalty.domain.coupon import (
    Coupon,
    CouponCampaign,
    CouponNotFound,
    CouponOrder,
    CouponPoolEmpty,
    CouponUsage,
)
from services.loyalty.domain.coupon_code import Draw, generate, normal
from services.loyalty.domain.coupon_operations import (
    AssignCoupon,
    CouponBatch,
    CreateCouponCampaign,
    OrderCoupons,
    SwitchCoupon,
    UpdateCouponCampaign,
)
from services.loyalty.domain.coupon_uses import (
    CouponOrderChanged,
    CouponOrderNotFound,
    ExpireReservations,
    Presented,
    RollBackCoupons,
    UseCoupons,
    Verdict,
    WeighCoupons,
)
from services.loyalty.domain.guesses import CountGuesses, Guesser
from services.loyalty.ports import UNASKED, Coupons, Ledger, Request

T = TypeVar("T")

BATCH = 1000
"""Codes in one commit."""
EXPORT_MAX = 10_000
CANDIDATES = 100
ATTEMPTS_MAX = 50
DUE_MAX = 100
"""Orders whose reservations end in one commit."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who presents which codes for what: each code with the discount that it gives."""

    caller: str
    order_id: str
    cart: Cart
    codes: Sequence[tuple[str, int]]

    @property
    def guesser(self) -> Guesser:
        """Whose guesses these are."""
        return Guesser(self.cart.shopper.customer_id, self.caller)


async def create_coupon_campaign(
    ledger: Ledger, coupons: Coupons, request: Request, campaign: CouponCampaign
) -> CouponCampaign:
    """Open a campaign."""
    await coupons.enlist(request.tenant)  # first: the clock may look in vain, but not too late
    return await ledger.post(request, CreateCouponCampaign(campaign=campaign))


async def update_coupon_campaign(
    ledger: Ledger, request: Request, campaign_id: str, paused: bool | None, end_time: int | None
) -> CouponCampaign:
    """Pause a campaign, let it go on, or change its end."""
    return await ledger.post(request, UpdateCouponCampaign(campaign_id=campaign_id, paused=paused, end_time=end_time))


async def get_coupon_campaign(
    coupons: Coupons, tenant: str, campaign_id: str
) -> tuple[CouponCampaign, int, CouponUsage]:
    """A campaign, how many codes it has, and how often it was used."""
    campaign = await coupons.campaign(tenant, campaign_id)
    return campaign, *await coupons.usage(tenant, campaign_id)


async def generate_coupons(
    ledger: Ledger, coupons: Coupons, jobs: Jobs, draw: Draw, request: Request, campaign_id: str, count: int
) -> Job:
    """Start a job that makes unique codes; a request that comes again is answered with its job, as it is now."""
    existing, _ = await coupons.usage(request.tenant, campaign_id)
    ordering = OrderCoupons(campaign_id=campaign_id, count=count, existing=existing, job_id=f"job_{uuid4().hex}")
    batch = await ledger.post(request, ordering)
    try:
        return await jobs.get(request.tenant, batch.job_id)
    except JobNotFound:
        work = partial(_generate, coupons, draw, request.tenant, batch)
        return await jobs.start(request.tenant, "generate_coupons", work, batch.job_id)


async def _generate(
    coupons: Coupons, draw: Draw, tenant: str, batch: CouponBatch, progress: Progress
) -> dict[str, str]:
    made = 0
    while made < batch.count:
        codes = generate(batch.pattern, batch.checksum, min(BATCH, batch.count - made), draw)
        made += await coupons.add(
            tenant,
            [
                Coupon(code=code, campaign_id=batch.campaign_id, create_time=batch.create_time, batch_id=batch.job_id)
                for code in codes
            ],
        )
        await progress(made / batch.count, f"{made} of {batch.count} codes")
    return {"code_count": str(made)}


async def export_coupons(coupons: Coupons, tenant: str, campaign_id: str, after: str) -> tuple[str, str]:
    """A part of a campaign's codes as CSV, and the token of the next."""
    await coupons.campaign(tenant, campaign_id)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    if not after:
        writer.writerow(("code", "holder_id", "use_count", "disabled", "create_time"))
    for _ in range(EXPORT_MAX // BATCH):
        page, after = await coupons.page(tenant, campaign_id, "", BATCH, after)
        for coupon in page:
            time = from_micros(coupon.create_time).isoformat()
            writer.writerow((coupon.code, coupon.holder_id, coupon.uses, str(coupon.disabled).lower(), time))
        if not after:
            break
    return file.getvalue(), after


async def assign_coupon(
    ledger: Ledger, coupons: Coupons, request: Request, campaign_id: str, customer_id: str
) -> Coupon:
    """Give a customer a free code; whoever finds that others took all its candidates looks again."""

    async def assign() -> Coupon:
        candidates = await coupons.free(request.tenant, campaign_id, CANDIDATES)
        try:
            return await ledger.post(
                request, AssignCoupon(campaign_id=campaign_id, customer_id=customer_id, candidates=candidates)
            )
        except CouponPoolEmpty:
            if not candidates:
                raise
            raise CouponOrderChanged("others took these codes in this moment; try again") from None

    return await _again(assign)


async def switch_coupon(ledger: Ledger, request: Request, code: str, disabled: bool) -> Coupon:
    """Switch a code off, or on again."""
    return await ledger.post(request, SwitchCoupon(code=normal(code), disabled=disabled))


async def validate_coupons(ledger: Ledger, coupons: Coupons, tenant: str, asking: Asking) -> list[Verdict]:
    """What each code would be worth."""
    presented = await present(coupons, tenant, asking.codes)
    weighing = WeighCoupons(order_id=asking.order_id, cart=asking.cart, presented=presented, guesser=asking.guesser)
    verdicts = await ledger.try_out(tenant, weighing)
    await count_guesses(ledger, tenant, asking.guesser, [verdict.refusal for verdict in verdicts])
    return verdicts


async def use_coupons(
    ledger: Ledger, coupons: Coupons, request: Request, asking: Asking, reserve_for: int = 0
) -> CouponOrder:
    """Reserve codes for an order, or redeem them, all or none."""
    presented = await present(coupons, request.tenant, asking.codes)
    using = UseCoupons(
        order_id=asking.order_id,
        cart=asking.cart,
        presented=presented,
        guesser=asking.guesser,
        reserve_for=reserve_for,
    )
    try:
        return await ledger.post(request, using)
    except CouponNotFound as refusal:
        await count_guesses(ledger, request.tenant, asking.guesser, [refusal])
        raise


async def present(coupons: Coupons, tenant: str, codes: Sequence[tuple[str, int]]) -> list[Presented]:
    """The codes as operations take them: each once, with the campaign that it is of, for ever."""
    discounts = {normal(code): discount_minor for code, discount_minor in codes}
    found = await coupons.find(tenant, [code for code in discounts if code and "\0" not in code])
    campaigns = {code: coupon.campaign_id for code, coupon in found.items()}
    return [Presented(code, campaigns.get(code, ""), discount) for code, discount in discounts.items()]


async def count_guesses(ledger: Ledger, tenant: str, guesser: Guesser, refusals: Sequence[Refusal | None]) -> None:
    """Remember codes that were not found."""
    await count_guesses_of(ledger, tenant, guesser, sum(isinstance(refusal, CouponNotFound) for refusal in refusals))


async def count_guesses_of(ledger: Ledger, tenant: str, guesser: Guesser, count: int) -> None:
    """Remember so many codes that were not found."""
    if count:
        await ledger.post(Request(tenant, UNASKED, ""), CountGuesses(guesser, count))


async def roll_back_coupons(
    ledger: Ledger, coupons: Coupons, request: Request, order_id: str, codes: Sequence[str]
) -> CouponOrder:
    """Give back what an order has reserved or redeemed."""

    async def roll_back() -> CouponOrder:
        order = await coupons.order(request.tenant, order_id)
        if order is None:
            raise CouponOrderNotFound(f"order {order_id} has used no coupons", order_id=order_id)
        uses = [Presented(use.code, use.campaign_id) for use in order.uses]
        wanted = [normal(code) for code in codes]
        rolling = RollBackCoupons(order_id=order_id, codes=wanted, uses=uses, customer_id=order.customer_id)
        return await ledger.post(request, rolling)

    return await _again(roll_back)


async def expire_reservations(ledger: Ledger, coupons: Coupons, now: int) -> int:
    """Give back every reservation whose time has passed, of all tenants; how many there were."""
    expired = 0
    async for tenant in coupons.tenants():
        while due := await coupons.due(tenant, now, DUE_MAX):
            count = await ledger.post(Request(tenant, UNASKED, ""), ExpireReservations(orders=due))
            expired += count
            if not count:
                break
    return expired


async def _again(attempt: Callable[[], Awaitable[T]]) -> T:
    for _ in range(ATTEMPTS_MAX - 1):
        try:
            return await attempt()
        except CouponOrderChanged:
            continue
    return await attempt()
