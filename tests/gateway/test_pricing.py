"""Personal prices through the gateway: what front ends and those who answer for prices ask for."""

from google.protobuf.json_format import MessageToDict
from tessera.common.v1 import job_pb2
from tessera.loyalty.v1 import offer_pb2
from tessera.loyalty.v1 import pricing_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.gateway.platform import Backend, Client

SENSITIVITY = pb.PriceSensitivity(elasticity=2.5, standard_error=0.5, lower=1.5, upper=3.5, observation_count=7)
PRICE = pb.PersonalPrice(
    customer_id="c1",
    currency="USD",
    discount=pb.PersonalDiscount(
        offer_id="own", share=300, basis=pb.PERSONAL_BASIS_ESTIMATED, bounds=[pb.PRICE_BOUND_MAX_SHARE], kept=True
    ),
    max_share=300,
    sensitivity=SENSITIVITY,
    lines=[pb.PersonalLine(item_id="milk", quantity=1, list_minor=100, discount_minor=3, total_minor=97)],
    applied=True,
)


async def test_an_offer_is_made_personal_and_its_quotes_say_why(client: Client, backend: Backend) -> None:
    backend.on("loyalty.CreateOffer", lambda asked: offer_pb2.CreateOfferResponse(offer=asked.offer))
    quote = offer_pb2.Quote(total_minor=97, personal_discounts=[PRICE.discount])
    backend.on("loyalty.QuoteCart", lambda _: offer_pb2.QuoteCartResponse(quote=quote))
    made = await client.data(
        """mutation { createOffer(input: {requestId: "o", offer: {offerId: "own", name: "Own", currency: "USD",
             action: {personalShare: {minShare: 100, maxShare: 300, defaultShare: 100, costShare: 5000,
             validity: "P1D"}}}}) { offer { action } } }"""
    )
    share = made["createOffer"]["offer"]["action"]["personalShare"]
    assert (share["maxShare"], share["validity"]) == (300, "P1D")
    data = await client.data(
        """{ quoteCart(input: {cart: {shopper: {customerId: "c1"}, currency: "USD", lines: [{lineId: "1",
             itemId: "milk", quantity: 1, priceMinor: 100}]}}) { totalMinor personalDiscounts { offerId share basis
             bounds kept } } }"""
    )
    assert data["quoteCart"]["personalDiscounts"] == [
        {"offerId": "own", "share": 300, "basis": "ESTIMATED", "bounds": ["MAX_SHARE"], "kept": True}
    ]


async def test_a_policy_is_set_an_estimation_asked_for_and_what_was_learnt_told(
    client: Client, backend: Backend
) -> None:
    backend.on("loyalty.SetPricingPolicy", lambda asked: pb.SetPricingPolicyResponse(policy=asked.policy))
    job = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING)
    backend.on("loyalty.EstimatePriceSensitivity", lambda _: pb.EstimatePriceSensitivityResponse(job=job))
    backend.on("loyalty.GetPricingJob", lambda _: pb.GetPricingJobResponse(job=job))
    model = pb.PriceModel(version=3, population=SENSITIVITY)
    backend.on("loyalty.GetPricingPolicy", lambda _: pb.GetPricingPolicyResponse(model=model, order_count=9))
    known = pb.GetPriceSensitivityResponse(sensitivity=SENSITIVITY, pooled_segment_id="vip", model_version=3)
    backend.on("loyalty.GetPriceSensitivity", lambda _: known)
    await client.data(
        """mutation {
          setPricingPolicy(input: {requestId: "p", policy: {enabled: true, consentPurpose: "profiling",
            segmentIds: ["vip"]}}) { policy { enabled } }
          estimatePriceSensitivity(input: {requestId: "e"}) { job { jobId state } } }"""
    )
    data = await client.data(
        """{ pricing { orderCount model { version population { elasticity upper } } }
             pricingJob(id: "j1") { state }
             priceSensitivity(customerId: "c1") { pooledSegmentId sensitivity { elasticity observationCount } } }"""
    )
    assert data["pricing"] == {
        "orderCount": 9,
        "model": {"version": 3, "population": {"elasticity": 2.5, "upper": 3.5}},
    }
    assert data["pricingJob"] == {"state": "RUNNING"}
    assert data["priceSensitivity"]["sensitivity"] == {"elasticity": 2.5, "observationCount": 7}
    asked = [MessageToDict(request, preserving_proto_field_name=True) for _, request in backend.calls]
    assert {"customer_id": "c1"} in asked


async def test_what_was_quoted_is_listed_by_person_and_by_offer_and_compared_over_segments(
    client: Client, backend: Backend
) -> None:
    backend.on("loyalty.ListPersonalPrices", lambda _: pb.ListPersonalPricesResponse(prices=[PRICE]))
    customer = profiles.Customer(customer_id="c1")
    backend.on("profiles.GetCustomer", lambda _: profiles.GetCustomerResponse(customer=customer))
    backend.on("profiles.BatchGetCustomers", lambda _: profiles.BatchGetCustomersResponse(customers=[customer]))
    inside = pb.PersonalDistribution(person_count=2, share_count=2, mean_share=250.5)
    segment = pb.SegmentDistribution(segment_id="vip", inside=inside, share_difference=-49.5)
    backend.on("loyalty.GetPricingReport", lambda _: pb.GetPricingReportResponse(all=inside, segments=[segment]))
    data = await client.data(
        """{ personalPricesByOffer(offerId: "own") { nodes { customerId discount { share } lines { totalMinor } } }
             customer(id: "c1") { personalPrices { nodes { sensitivity { elasticity } applied } } }
             pricingReport(input: {startTime: "2026-01-01T00:00:00Z", endTime: "2026-02-01T00:00:00Z",
               segmentIds: ["vip"]}) { all { meanShare } segments { segmentId shareDifference } } }"""
    )
    assert data["personalPricesByOffer"]["nodes"] == [
        {"customerId": "c1", "discount": {"share": 300}, "lines": [{"totalMinor": 97}]}
    ]
    assert data["customer"]["personalPrices"]["nodes"] == [{"sensitivity": {"elasticity": 2.5}, "applied": True}]
    assert data["pricingReport"]["segments"] == [{"segmentId": "vip", "shareDifference": -49.5}]
