"""Personal prices over real gRPC, following a real profiles."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import job_pb2
from tessera.loyalty.v1 import cart_pb2, offer_pb2
from tessera.loyalty.v1 import pricing_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub
from tessera.profiles.v1 import consent_pb2, person_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.grpc_errors import error_info
from services.loyalty.app import Settings, serve
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY
from tests.tenant_prices import learn_prices
from tests.whole_platform import until


@dataclass
class Retailer:
    """Calls services as one tenant."""

    stubs: dict[str, Any]
    metadata: Any

    def own(self, noun: str) -> str:
        return noun

    async def call(self, service: str, rpc: str, request: Any) -> Any:
        return await getattr(self.stubs[service], rpc)(request, metadata=self.metadata)

    async def refusal(self, rpc: str, request: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.call("loyalty", rpc, request)
        info = error_info(refused.value)
        return refused.value.code(), info.reason if info else ""


@pytest.fixture
async def alone(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[Retailer]:
    """Loyalty by itself."""
    settings = configure(Settings, profiles_addr=NOBODY, segmentation_addr=NOBODY)
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield Retailer({"loyalty": LoyaltyServiceStub(channel)}, keyring.header())


def reporting(*segment_ids: str, end: int = 2**33) -> pb.GetPricingReportRequest:
    start_time, end_time = Timestamp(seconds=2), Timestamp(seconds=end)
    return pb.GetPricingReportRequest(start_time=start_time, end_time=end_time, segment_ids=segment_ids)


def policy(purpose: str = "profiling", **more: Any) -> pb.SetPricingPolicyRequest:
    decided = pb.PricingPolicy(enabled=True, consent_purpose=purpose, **more)
    return pb.SetPricingPolicyRequest(policy=decided, request_id=f"policy-{purpose}")


def personal(share: pb.PersonalShare, offer_id: str = "own") -> offer_pb2.CreateOfferRequest:
    action = offer_pb2.OfferAction(personal_share=share)
    made = offer_pb2.Offer(offer_id=offer_id, name="Own", currency="USD", action=action)
    return offer_pb2.CreateOfferRequest(offer=made, request_id=offer_id)


def cart(customer_id: str) -> cart_pb2.Cart:
    line = cart_pb2.CartLine(line_id="1", item_id="milk", quantity=3, price_minor=333)
    return cart_pb2.Cart(shopper=cart_pb2.Shopper(customer_id=customer_id), currency="USD", lines=[line])


async def test_prices_are_learnt_from_orders_of_before_and_quoted_by_consent(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with (
        serve_profiles(configure(ProfilesSettings)) as source,
        serve(configure(Settings, profiles_addr=source.address, segmentation_addr=NOBODY)) as up,
        grpc.aio.insecure_channel(source.address) as there,
        grpc.aio.insecure_channel(up.address) as here,
    ):
        stubs = {"profiles": ProfilesServiceStub(there), "loyalty": LoyaltyServiceStub(here)}
        shop = Retailer(stubs, keyring.header())
        assert (await shop.call("loyalty", "SetPricingPolicy", policy())).policy.history_days == 400
        job_id = await learn_prices(shop)
        again = pb.EstimatePriceSensitivityRequest(request_id="estimate")
        assert (await shop.call("loyalty", "EstimatePriceSensitivity", again)).job.job_id == job_id
        known = await shop.call("loyalty", "GetPricingPolicy", pb.GetPricingPolicyRequest())
        assert (known.model.version, known.model.line_count, known.model.person_count) == (1, 240, 0)
        name = profiles.Identifier(type="user_id", value="weekly0")
        customer = await shop.call("profiles", "GetCustomer", profiles.GetCustomerRequest(identifier=name))
        buyer = customer.customer.customer_id
        asked = pb.GetPriceSensitivityRequest(customer_id=buyer)
        assert (await shop.refusal("GetPriceSensitivity", asked))[1] == "PRICING_CONSENT_MISSING"
        share = pb.PersonalShare(max_share=2000, default_share=100, cost_share=3000, validity=Duration(seconds=3600))
        await shop.call("loyalty", "CreateOffer", personal(share))
        asking = offer_pb2.QuoteCartRequest(cart=cart(buyer))
        quote = (await shop.call("loyalty", "QuoteCart", asking)).quote
        assert (quote.discount_minor, quote.personal_discounts[0].basis) == (9, pb.PERSONAL_BASIS_NO_CONSENT)
        yes = consent_pb2.NewConsentStatement(
            person=person_pb2.Person(customer_id=buyer), purpose="profiling", state=consent_pb2.CONSENT_STATE_GRANTED
        )
        await shop.call("profiles", "SetConsents", consent_pb2.SetConsentsRequest(statements=[yes]))

        async def consented() -> bool:
            told = (await shop.call("loyalty", "QuoteCart", asking)).quote
            return bool(told.personal_discounts[0].basis == pb.PERSONAL_BASIS_ESTIMATED)

        await until(consented)
        told = await shop.call("loyalty", "GetPriceSensitivity", asked)
        assert told.sensitivity.lower < told.sensitivity.elasticity < told.sensitivity.upper
        keep = offer_pb2.KeepQuoteRequest(cart=cart(buyer), request_id="keep")
        (kept,) = (await shop.call("loyalty", "KeepQuote", keep)).quote.quote.personal_discounts
        assert kept.kept
        quoted = pb.ListPersonalPricesRequest(customer_id=buyer)
        (price,) = (await shop.call("loyalty", "ListPersonalPrices", quoted)).prices
        assert (price.discount, price.max_share, price.currency) == (kept, 2000, "USD")
        assert price.sensitivity.elasticity == pytest.approx(told.sensitivity.elasticity)
        assert (price.lines[0].list_minor, price.lines[0].total_minor) == (999, 999 - 999 * kept.share // 10_000)
        by_offer = pb.ListPersonalPricesRequest(offer_id="own")
        assert list((await shop.call("loyalty", "ListPersonalPrices", by_offer)).prices) == [price]
        report = await shop.call("loyalty", "GetPricingReport", reporting("vip"))
        assert (report.all.share_count, report.all.mean_share, report.all.default_part) == (1, kept.share, 0)
        assert (report.segments[0].inside.share_count, report.segments[0].outside.share_count) == (0, 1)


async def test_an_offer_is_told_as_it_was_made(alone: Retailer) -> None:
    share = pb.PersonalShare(
        min_share=1, max_share=2000, default_share=7, step_share=3, cost_share=3000, margin_share=5
    )
    await alone.call("loyalty", "CreateOffer", personal(share))
    found = (await alone.call("loyalty", "GetOffer", offer_pb2.GetOfferRequest(offer_id="own"))).offer
    share.validity.FromSeconds(7 * 24 * 3600)
    assert found.action.personal_share == share


@pytest.mark.parametrize(
    ("share", "reason"),
    [
        (pb.PersonalShare(max_share=500), "FIELD_INVALID"),
        (pb.PersonalShare(max_share=500, cost_share=1, validity=Duration(seconds=59)), "FIELD_INVALID"),
        (pb.PersonalShare(max_share=500, cost_share=1, validity=Duration(seconds=90 * 86_400 + 1)), "FIELD_INVALID"),
        (pb.PersonalShare(max_share=500, cost_share=1, min_share=501), "OFFER_INVALID"),
        (pb.PersonalShare(max_share=500, cost_share=9600, default_share=450), "OFFER_INVALID"),
    ],
)
async def test_an_offer_that_contradicts_itself_is_refused(
    alone: Retailer, share: pb.PersonalShare, reason: str
) -> None:
    assert await alone.refusal("CreateOffer", personal(share)) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_refusals_come_in_the_order_that_the_contract_promises(alone: Retailer) -> None:
    """Each request deserves all refusals that follow; what the one before asked for is done in between."""
    both = pb.GetPriceSensitivityRequest(customer_id="ann", segment_id="vip")
    of_ann, of_vip = pb.GetPriceSensitivityRequest(customer_id="ann"), pb.GetPriceSensitivityRequest(segment_id="vip")
    estimate = pb.EstimatePriceSensitivityRequest(request_id="e")
    assert (await alone.refusal("GetPriceSensitivity", both))[1] == "FIELD_INVALID"
    assert (await alone.refusal("GetPriceSensitivity", of_ann))[1] == "PRICING_NOT_ENABLED"
    assert (await alone.refusal("GetPriceSensitivity", of_vip))[1] == "PRICING_NOT_ENABLED"
    assert (await alone.refusal("EstimatePriceSensitivity", estimate))[1] == "PRICING_NOT_ENABLED"
    for wrong in (policy(""), policy(segment_ids=["a", "a"]), policy(history_days=1096)):
        assert await alone.refusal("SetPricingPolicy", wrong) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    first = await alone.call("loyalty", "SetPricingPolicy", policy())
    assert await alone.call("loyalty", "SetPricingPolicy", policy()) == first
    reused = await alone.refusal("SetPricingPolicy", policy(history_days=7))
    assert reused == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    missing = (grpc.StatusCode.NOT_FOUND, "PRICE_MODEL_NOT_FOUND")
    assert [await alone.refusal("GetPriceSensitivity", each) for each in (of_ann, of_vip)] == [missing, missing]
    job = (await alone.call("loyalty", "EstimatePriceSensitivity", estimate)).job
    get = pb.GetPricingJobRequest(job_id=job.job_id)

    async def failed() -> bool:
        return bool((await alone.call("loyalty", "GetPricingJob", get)).job.state == job_pb2.JOB_STATE_FAILED)

    await until(failed)
    assert "at least 200 of 10" in (await alone.call("loyalty", "GetPricingJob", get)).job.message
    unknown = pb.GetPricingJobRequest(job_id="none")
    assert await alone.refusal("GetPricingJob", unknown) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")


async def test_lists_and_reports_are_refused_what_they_cannot_answer(alone: Retailer) -> None:
    wrong = (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert await alone.refusal("ListPersonalPrices", pb.ListPersonalPricesRequest()) == wrong
    both = pb.ListPersonalPricesRequest(customer_id="ann", offer_id="own")
    assert await alone.refusal("ListPersonalPrices", both) == wrong
    odd = pb.ListPersonalPricesRequest(customer_id="ann", page_token="odd")
    assert (await alone.refusal("ListPersonalPrices", odd))[1] == "INVALID_CURSOR"
    assert await alone.refusal("GetPricingReport", reporting(end=2)) == wrong
    assert await alone.refusal("GetPricingReport", reporting("a", "a")) == wrong
    empty = await alone.call("loyalty", "GetPricingReport", reporting("a"))
    assert (empty.all.share_count, empty.segments[0].share_difference) == (0, 0)
