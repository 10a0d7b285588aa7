"""The rpcs of personal prices."""

from dataclasses import dataclass

from tessera.loyalty.v1 import pricing_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.job_messages import to_proto
from services.common.jobs import Jobs
from services.common.validation import FieldInvalid
from services.loyalty.handlers.pricing import (
    ask_estimation,
    get_pricing_policy,
    pricing_report,
    sensitivity_of_customer,
    sensitivity_of_segment,
    set_pricing_policy,
)
from services.loyalty.ports import Ledger
from services.loyalty.ports.pricing import Prices
from services.loyalty.servicer.calls import Context, micros, named, page_size
from services.loyalty.servicer.pricing_messages import (
    distribution_message,
    model_message,
    policy_message,
    price_message,
    read_policy,
    segment_message,
    sensitivity_message,
)


@dataclass(frozen=True, kw_only=True)
class PricingRpcs(LoyaltyServiceServicer):
    """Personal prices: what is learnt, and what was quoted."""

    ledger: Ledger
    prices: Prices
    jobs: Jobs
    clock: Clock

    async def SetPricingPolicy(
        self, request: pb.SetPricingPolicyRequest, context: Context
    ) -> pb.SetPricingPolicyResponse:
        policy = await set_pricing_policy(self.ledger, self.prices, named(request), read_policy(request.policy))
        return pb.SetPricingPolicyResponse(policy=policy_message(policy))

    async def GetPricingPolicy(
        self, request: pb.GetPricingPolicyRequest, context: Context
    ) -> pb.GetPricingPolicyResponse:
        policy, model, count = await get_pricing_policy(self.prices, principal().tenant)
        return pb.GetPricingPolicyResponse(
            policy=policy_message(policy), model=model_message(model) if model else None, order_count=count
        )

    async def EstimatePriceSensitivity(
        self, request: pb.EstimatePriceSensitivityRequest, context: Context
    ) -> pb.EstimatePriceSensitivityResponse:
        now = to_micros(self.clock())
        job = await ask_estimation(self.ledger, self.prices, self.jobs, named(request), now)
        return pb.EstimatePriceSensitivityResponse(job=to_proto(job))

    async def GetPricingJob(self, request: pb.GetPricingJobRequest, context: Context) -> pb.GetPricingJobResponse:
        return pb.GetPricingJobResponse(job=to_proto(await self.jobs.get(principal().tenant, request.job_id)))

    async def GetPriceSensitivity(
        self, request: pb.GetPriceSensitivityRequest, context: Context
    ) -> pb.GetPriceSensitivityResponse:
        tenant, now = principal().tenant, to_micros(self.clock())
        if bool(request.customer_id) == bool(request.segment_id):
            raise FieldInvalid("name either a customer or a segment", field="customer_id")
        if request.customer_id:
            told = await sensitivity_of_customer(self.prices, tenant, request.customer_id, now)
        else:
            told = await sensitivity_of_segment(self.prices, tenant, request.segment_id)
        return pb.GetPriceSensitivityResponse(
            sensitivity=sensitivity_message(told.sensitivity),
            pooled_segment_id=told.pooled_segment_id,
            model_version=told.model_version,
        )

    async def ListPersonalPrices(
        self, request: pb.ListPersonalPricesRequest, context: Context
    ) -> pb.ListPersonalPricesResponse:
        tenant, size = principal().tenant, page_size(request)
        if bool(request.customer_id) == bool(request.offer_id):
            raise FieldInvalid("name either a customer or an offer", field="customer_id")
        if request.customer_id:
            found, token = await self.prices.quoted_to(tenant, request.customer_id, size, request.page_token)
        else:
            found, token = await self.prices.quoted_by(tenant, request.offer_id, size, request.page_token)
        return pb.ListPersonalPricesResponse(prices=map(price_message, found), next_page_token=token)

    async def GetPricingReport(
        self, request: pb.GetPricingReportRequest, context: Context
    ) -> pb.GetPricingReportResponse:
        start, end = micros(request.start_time), micros(request.end_time)
        if start >= end:
            raise FieldInvalid("end_time must be later than start_time", field="end_time")
        if len(set(request.segment_ids)) < len(request.segment_ids):
            raise FieldInvalid("segment_ids must name each segment once", field="segment_ids")
        everybody, segments = await pricing_report(
            self.prices, principal().tenant, request.offer_id, start, end, tuple(request.segment_ids)
        )
        return pb.GetPricingReportResponse(all=distribution_message(everybody), segments=map(segment_message, segments))
