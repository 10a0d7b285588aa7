"""Learning what people answer to prices, and telling what was learnt and quoted."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import Conflict, FailedPrecondition
from services.common.jobs import Job, Jobs, Progress, Work
from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.personal_price import PersonalPrice
from services.loyalty.domain.price_model import (
    Learnt,
    PriceModel,
    knowledge_of,
    model_of,
    pooled_segment,
    prior_of,
)
from services.loyalty.domain.price_sensitivity import Sensitivity, weigh
from services.loyalty.domain.pricing_policy import (
    AskEstimation,
    PriceModelNotFound,
    PriceSegmentNotFound,
    PricingConsentMissing,
    PricingPolicy,
    PricingReportTooLarge,
    SetPricingPolicy,
    check_enabled,
)
from services.loyalty.domain.pricing_report import Distribution, SegmentDistribution, report
from services.loyalty.ports import Coupons, Ledger, Request
from services.loyalty.ports.pricing import Prices

log = logging.getLogger(__name__)

KIND = "estimate_price_sensitivity"
ATTEMPTS_MAX = 10
"""How often it is tried to keep a model while people are forgotten or withdraw."""
QUOTES_MAX = 200_000
"""What a report looks at."""


@dataclass(frozen=True, slots=True)
class Told:
    """How sensitive somebody is, whom they are expected to be like, and by which model."""

    sensitivity: Sensitivity
    pooled_segment_id: str
    model_version: int


async def set_pricing_policy(ledger: Ledger, prices: Prices, request: Request, policy: PricingPolicy) -> PricingPolicy:
    """Decide whether prices are learnt; what follows from it is done again where a first try was cut short."""
    decided = await ledger.post(request, SetPricingPolicy(policy))
    await prices.enlist(request.tenant, await prices.policy(request.tenant))
    return decided


async def get_pricing_policy(prices: Prices, tenant: str) -> tuple[PricingPolicy, PriceModel | None, int]:
    """The policy, the model and how many orders there are to learn from."""
    return await prices.policy(tenant), await prices.model(tenant), await prices.order_count(tenant)


async def ask_estimation(ledger: Ledger, prices: Prices, jobs: Jobs, request: Request, now: int) -> Job:
    """Start a job that estimates; a request that comes again is answered with its job, as it is now."""
    name = hashlib.sha256(f"{request.tenant}/{request.id}".encode()).hexdigest()[:32]
    asked = await ledger.post(request, AskEstimation(f"job_{name}"))
    return await jobs.start(request.tenant, KIND, estimation(prices, request.tenant, now), asked.job_id)


def estimation(prices: Prices, tenant: str, now: int) -> Work:
    """The work of such a job."""

    async def work(progress: Progress) -> dict[str, str]:
        await progress(0.1, "reading orders")
        model = await estimate(prices, tenant, now)
        return {
            "version": str(model.version),
            "line_count": str(model.line_count),
            "person_count": str(model.person_count),
        }

    return work


async def estimate(prices: Prices, tenant: str, now: int) -> PriceModel:
    """Learn from the orders that are kept. ``PricingNotEnabled``, ``PriceDataInsufficient`` or ``Conflict``."""
    policy = check_enabled(await prices.policy(tenant))
    since = now - policy.history_days * DAY_MICROS
    await prices.forget_orders(tenant, since)
    history = await prices.history(tenant, since)
    evidence = await asyncio.to_thread(weigh, history.purchases)
    for _ in range(ATTEMPTS_MAX):
        crowd = await prices.crowd(tenant, policy, history.customer_ids, now)
        before = await prices.model(tenant)
        learnt = Learnt(
            customer_ids=history.customer_ids,
            evidence=evidence,
            person_of=crowd.person_of,
            consenting=crowd.consenting,
            segment_of=crowd.segment_of,
            line_count=len(history.purchases.person),
        )
        model, kept = await asyncio.to_thread(model_of, learnt, (before.version if before else 0) + 1, now)
        try:
            await prices.keep(tenant, crowd.epoch, model, kept)
            return model
        except Conflict:  # somebody was forgotten or withdrew, or another process was faster
            log.info("what was learnt of prices is looked through again")
    raise Conflict(f"people withdrew, or others estimated, {ATTEMPTS_MAX} times meanwhile; try again")


async def estimate_all(prices: Prices, now: int, interval: int) -> None:
    """Learn in every tenant whose model is older than the interval."""
    for tenant in await prices.tenants():
        model = await prices.model(tenant)
        if model and model.time > now - interval:
            continue
        try:
            await estimate(prices, tenant, now)
        except (FailedPrecondition, Conflict) as refusal:
            log.info("no prices were learnt: %s", refusal.message)


async def sensitivity_of_customer(prices: Prices, tenant: str, customer_id: str, now: int) -> Told:
    """How sensitive a person is. Refused in the order that the contract promises."""
    standing = await prices.standing(tenant, customer_id, frozenset())
    policy = check_enabled(standing.policy)
    model = _model(standing.model)
    known = knowledge_of(standing, now)
    if known.sensitivity is None:
        raise PricingConsentMissing(
            f"{customer_id} has not consented to {policy.consent_purpose}", purpose=policy.consent_purpose
        )
    segment_id = pooled_segment(standing.segment_ids, policy)
    found = segment_id if prior_of(model, segment_id) != prior_of(model, "") else ""
    return Told(known.sensitivity, found, model.version)


async def sensitivity_of_segment(prices: Prices, tenant: str, segment_id: str) -> Told:
    """How sensitive a segment's people are. Refused in the order that the contract promises."""
    check_enabled(await prices.policy(tenant))
    model = _model(await prices.model(tenant))
    found = next((each.sensitivity for each in model.segments if each.segment_id == segment_id), None)
    if found is None:
        raise PriceSegmentNotFound(
            f"{segment_id} is no segment of the pricing policy, or nobody who bought is in it", segment_id=segment_id
        )
    return Told(found, "", model.version)


def _model(model: PriceModel | None) -> PriceModel:
    if model is None:
        raise PriceModelNotFound("nothing was estimated yet; EstimatePriceSensitivity does it now")
    return model


async def pricing_report(
    prices: Prices, tenant: str, offer_id: str, start: int, end: int, segment_ids: Sequence[str]
) -> tuple[Distribution, tuple[SegmentDistribution, ...]]:
    """How personal discounts were distributed in a period; ``PricingReportTooLarge``."""
    found: list[PersonalPrice] = []
    async for page in prices.quoted(tenant, offer_id, start, end):
        found += page
        if len(found) > QUOTES_MAX:
            raise PricingReportTooLarge(
                f"more than {QUOTES_MAX} quotes; ask for a shorter period, or for one offer", quotes_max=QUOTES_MAX
            )
    return await asyncio.to_thread(report, found, segment_ids)


async def forget_quoted(prices: Prices, coupons: Coupons, before: int, now: int) -> None:
    """Drop what was quoted before that instant in all tenants that have promotions, and shares that have expired."""
    async for tenant in coupons.tenants():
        await prices.forget_quoted(tenant, before, now)
