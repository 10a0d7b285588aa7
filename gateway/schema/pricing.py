"""Personal prices in the schema: what is learnt, and what people were quoted."""

from collections.abc import Sequence

import strawberry
from strawberry import Parent
from tessera.common.v1 import job_pb2
from tessera.loyalty.v1 import pricing_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query

_POLICY = ("enabled", "consent_purpose", "segment_ids", "history_days")


@from_proto(pb.PriceSensitivity, "elasticity", "standard_error", "lower", "upper", "observation_count")
class PriceSensitivity: ...


@from_proto(pb.PersonalDiscount, "offer_id", "share", "basis", "bounds", "model_version", "expire_time", "kept")
class PersonalDiscount: ...


@from_proto(pb.PersonalLine, "item_id", "quantity", "list_minor", "discount_minor", "total_minor", "bounds")
class PersonalLine: ...


@from_proto(
    pb.PersonalPrice,
    "customer_id",
    "quote_time",
    "quote_id",
    "order_id",
    "currency",
    "discount",
    "min_share",
    "max_share",
    "sensitivity",
    "lines",
    "applied",
    "applied_offer_ids",
    "segment_ids",
)
class PersonalPrice: ...


@from_proto(pb.PricingPolicy, *_POLICY, "set_time")
class PricingPolicy: ...


@from_proto(pb.SegmentSensitivity, "segment_id", "sensitivity")
class SegmentSensitivity: ...


@from_proto(
    pb.PriceModel,
    "version",
    "estimate_time",
    "population",
    "person_deviation",
    "person_count",
    "line_count",
    "segments",
)
class PriceModel: ...


@from_proto(pb.GetPricingPolicyResponse, "policy", "model", "order_count")
class Pricing:
    """Whether and how personal prices are learnt, and what was learnt."""


@from_proto(pb.GetPriceSensitivityResponse, "sensitivity", "pooled_segment_id", "model_version")
class KnownSensitivity:
    """How sensitive a person or a segment is."""


@from_proto(
    pb.PersonalDistribution,
    "person_count",
    "share_count",
    "mean_share",
    "low_share",
    "median_share",
    "high_share",
    "default_part",
    "min_part",
    "max_part",
)
class PersonalDistribution: ...


@from_proto(pb.SegmentDistribution, "segment_id", "inside", "outside", "share_difference")
class SegmentDistribution: ...


@from_proto(pb.GetPricingReportResponse, "all", "segments")
class PricingReport:
    """How personal discounts were distributed."""


@input_from_proto(
    pb.PersonalShare,
    "items",
    "min_share",
    "max_share",
    "default_share",
    "step_share",
    "cost_share",
    "margin_share",
    "validity",
)
class PersonalShareInput: ...


@input_from_proto(pb.PricingPolicy, *_POLICY)
class PricingPolicyInput: ...


@input_from_proto(pb.SetPricingPolicyRequest, "request_id", "policy")
class SetPricingPolicyInput: ...


@from_proto(pb.SetPricingPolicyResponse, "policy")
class SetPricingPolicyPayload: ...


@input_from_proto(pb.EstimatePriceSensitivityRequest, "request_id")
class EstimatePriceSensitivityInput: ...


@from_proto(pb.EstimatePriceSensitivityResponse, "job")
class EstimatePriceSensitivityPayload: ...


@input_from_proto(pb.GetPricingReportRequest, "start_time", "end_time", "offer_id", "segment_ids")
class PricingReportInput: ...


@query(by_rpc("loyalty.GetPricingPolicy"))
async def pricing(info: Info) -> pb.GetPricingPolicyResponse | None:
    return await info.context.backends.loyalty.GetPricingPolicy(
        pb.GetPricingPolicyRequest(), metadata=info.context.metadata
    )


@query(by_rpc("loyalty.GetPricingJob"))
async def pricing_job(info: Info, id: strawberry.ID) -> job_pb2.Job | None:
    """How far a job of `estimatePriceSensitivity` is; null if there is none."""
    request = pb.GetPricingJobRequest(job_id=id)
    backend = info.context.backends.loyalty
    answer = await none_if_not_found(backend.GetPricingJob(request, metadata=info.context.metadata))
    return answer.job if answer else None


@query(by_rpc("loyalty.GetPriceSensitivity"))
async def price_sensitivity(
    info: Info, customer_id: strawberry.ID | None = None, segment_id: strawberry.ID | None = None
) -> pb.GetPriceSensitivityResponse | None:
    """How price-sensitive a customer, or a segment of the pricing policy, is; name one."""
    request = pb.GetPriceSensitivityRequest(customer_id=customer_id or "", segment_id=segment_id or "")
    return await info.context.backends.loyalty.GetPriceSensitivity(request, metadata=info.context.metadata)


@query(by_rpc("loyalty.GetPricingReport"))
async def pricing_report(info: Info, input: pb.GetPricingReportRequest) -> pb.GetPricingReportResponse | None:
    return await info.context.backends.loyalty.GetPricingReport(input, metadata=info.context.metadata)


@query(by_rpc("loyalty.ListPersonalPrices"))
async def personal_prices_by_offer(
    info: Info, offer_id: strawberry.ID, first: First = 20, after: After = None
) -> Page[pb.PersonalPrice]:
    """What an offer quoted to everybody, latest first."""
    return await _prices(info, pb.ListPersonalPricesRequest(offer_id=offer_id), first, after)


@edge(Customer, by_rpc("loyalty.ListPersonalPrices"))
async def personal_prices(
    customer: Parent[profiles_pb.Customer], info: Info, first: First = 20, after: After = None
) -> Page[pb.PersonalPrice]:
    """What personal offers quoted to the customer, latest first."""
    return await _prices(info, pb.ListPersonalPricesRequest(customer_id=customer.customer_id), first, after)


async def _prices(
    info: Info, asked: pb.ListPersonalPricesRequest, first: First, after: After
) -> Page[pb.PersonalPrice]:
    async def fetch(size: int, token: str) -> tuple[Sequence[pb.PersonalPrice], str]:
        asked.page_size, asked.page_token = size, token
        answer = await info.context.backends.loyalty.ListPersonalPrices(asked, metadata=info.context.metadata)
        return answer.prices, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("loyalty.SetPricingPolicy"))
async def set_pricing_policy(info: Info, input: pb.SetPricingPolicyRequest) -> pb.SetPricingPolicyResponse:
    return await info.context.backends.loyalty.SetPricingPolicy(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.EstimatePriceSensitivity"))
async def estimate_price_sensitivity(
    info: Info, input: pb.EstimatePriceSensitivityRequest
) -> pb.EstimatePriceSensitivityResponse:
    return await info.context.backends.loyalty.EstimatePriceSensitivity(input, metadata=info.context.metadata)
