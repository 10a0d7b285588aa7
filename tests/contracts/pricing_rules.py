"""How the rpcs of personal prices keep tenants apart."""

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.loyalty.v1 import pricing_pb2 as pb

from tests.contracts.tenant_rule import STRANGER, Beside, Figure, Refused, Rule, Without

PRICING: dict[str, Rule] = {
    "SetPricingPolicy": Beside(
        lambda acme: pb.SetPricingPolicyRequest(policy=pb.PricingPolicy(history_days=5), request_id="on-2"),
        ("GetPricingPolicy", lambda acme: pb.GetPricingPolicyRequest()),
    ),
    "GetPricingPolicy": Without(lambda acme: pb.GetPricingPolicyRequest()),
    "EstimatePriceSensitivity": Refused(
        lambda acme: pb.EstimatePriceSensitivityRequest(request_id="again"),
        "PRICING_NOT_ENABLED",
        grpc.StatusCode.FAILED_PRECONDITION,
        STRANGER,
    ),
    "GetPricingJob": Refused(lambda acme: pb.GetPricingJobRequest(job_id=acme.pricing_job_id), "JOB_NOT_FOUND"),
    "GetPriceSensitivity": Refused(
        lambda acme: pb.GetPriceSensitivityRequest(customer_id=acme.customer_id),
        "PRICING_CONSENT_MISSING",
        grpc.StatusCode.FAILED_PRECONDITION,
    ),
    "ListPersonalPrices": Without(
        lambda acme: pb.ListPersonalPricesRequest(customer_id=acme.own("ann")), lambda found: found.prices
    ),
    "GetPricingReport": Figure(
        lambda acme: pb.GetPricingReportRequest(
            start_time=Timestamp(seconds=1), end_time=Timestamp(seconds=2**33), offer_id=acme.own("personal")
        ),
        lambda found: found.all.share_count,
    ),
}
