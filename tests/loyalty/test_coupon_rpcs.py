"""Coupons over real gRPC: what a till does with them, and how a job makes codes."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tessera.common.v1 import job_pb2, rule_pb2
from tessera.loyalty.v1 import cart_pb2
from tessera.loyalty.v1 import coupon_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub

from services.common.grpc_errors import error_info
from services.loyalty.app import Settings, serve
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY, Club
from tests.whole_platform import until


@pytest.fixture
async def club(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[Club]:
    settings = configure(Settings, profiles_addr=NOBODY, expiry_interval_seconds=0.05)
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield Club(LoyaltyServiceStub(channel), keyring.header())


def cart(category: str = "shoes", segments: tuple[str, ...] = ()) -> cart_pb2.Cart:
    line = cart_pb2.CartLine(line_id="1", item_id="boot", quantity=1, price_minor=9_000, categories=[category])
    shopper = cart_pb2.Shopper(customer_id="ann", segment_ids=segments)
    return cart_pb2.Cart(shopper=shopper, currency="USD", lines=[line])


async def create(club: Club, **named: Any) -> pb.CouponCampaign:
    made = pb.CouponCampaign(name="Spring", currency="USD", **named)
    request = pb.CreateCouponCampaignRequest(campaign=made, request_id=club.new_id())
    return (await club.stub.CreateCouponCampaign(request, metadata=club.metadata)).campaign


async def refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_info(caught.value)
    return info.reason if info else ""


async def test_a_till_validates_reserves_redeems_and_rolls_back(club: Club) -> None:
    for_regulars = rule_pb2.Rule(segment=rule_pb2.SegmentCondition(segment_id="regulars"))
    made = await create(
        club, campaign_id="spring", code="Spring", condition=for_regulars, limits=pb.CouponLimits(per_customer=1)
    )
    assert (made.code, made.condition) == ("SPRING", for_regulars)
    codes = [pb.PresentedCoupon(code="spring", discount_minor=900)]
    stub, metadata = club.stub, club.metadata

    async def validate(segments: tuple[str, ...] = ("regulars",)) -> pb.CouponVerdict:
        request = pb.ValidateCouponsRequest(coupons=codes, cart=cart(segments=segments))
        return (await stub.ValidateCoupons(request, metadata=metadata)).verdicts[0]

    assert (await validate()).valid
    assert (await validate(())).reason == "COUPON_NOT_ELIGIBLE"
    reserve = pb.ReserveCouponsRequest(
        order_id="o1",
        coupons=codes,
        cart=cart(segments=("regulars",)),
        reserve_for=Duration(seconds=600),
        request_id="v",
    )
    held = (await stub.ReserveCoupons(reserve, metadata=metadata)).order
    assert held.uses[0].state == pb.COUPON_USE_STATE_RESERVED
    assert held.uses[0].expire_time.seconds - held.uses[0].use_time.seconds == 600
    assert (await validate()).reason == "COUPON_CUSTOMER_LIMIT_REACHED"
    redeem = pb.RedeemCouponsRequest(order_id="o1", coupons=codes, cart=cart(segments=("regulars",)), request_id="d")
    paid = (await stub.RedeemCoupons(redeem, metadata=metadata)).order
    assert (await stub.RedeemCoupons(redeem, metadata=metadata)).order == paid
    back = pb.RollBackCouponsRequest(order_id="o1", request_id="b")
    assert (await stub.RollBackCoupons(back, metadata=metadata)).order.uses[0].state == pb.COUPON_USE_STATE_ROLLED_BACK
    assert (await stub.RedeemCoupons(redeem, metadata=metadata)).order == paid  # the request's answer, not the state
    assert (await validate()).valid
    found = await stub.ListCouponOrders(pb.ListCouponOrdersRequest(customer_id="ann"), metadata=metadata)
    assert [order.order_id for order in found.orders] == ["o1"]


async def test_the_clock_gives_back_what_is_reserved_too_long(club: Club) -> None:
    await create(club, campaign_id="once", code="once", limits=pb.CouponLimits(per_code=1))
    reserve = pb.ReserveCouponsRequest(
        order_id="o1",
        coupons=[pb.PresentedCoupon(code="once")],
        cart=cart(),
        reserve_for=Duration(seconds=1),
        request_id="v",
    )
    await club.stub.ReserveCoupons(reserve, metadata=club.metadata)

    async def free() -> bool:
        request = pb.GetCouponCampaignRequest(campaign_id="once")
        return not (await club.stub.GetCouponCampaign(request, metadata=club.metadata)).campaign.use_count

    assert not await free()
    await until(free)


async def test_a_job_generates_codes_that_are_listed_exported_and_assigned(club: Club) -> None:
    await create(club, campaign_id="mine", pattern="M-##########", checksum=True)
    stub, metadata = club.stub, club.metadata
    request = pb.GenerateCouponsRequest(campaign_id="mine", count=1500, request_id="make")
    job_id = (await stub.GenerateCoupons(request, metadata=metadata)).job.job_id

    async def done() -> bool:
        job = (await stub.GetCouponJob(pb.GetCouponJobRequest(job_id=job_id), metadata=metadata)).job
        return job.state == job_pb2.JOB_STATE_SUCCEEDED

    await until(done)
    assert (await stub.GenerateCoupons(request, metadata=metadata)).job.results["code_count"] == "1500"
    page = await stub.ListCoupons(pb.ListCouponsRequest(campaign_id="mine", page_size=1000), metadata=metadata)
    assert len(page.coupons) == 1000
    assert {coupon.job_id for coupon in page.coupons} == {job_id}
    export = await stub.ExportCoupons(pb.ExportCouponsRequest(campaign_id="mine"), metadata=metadata)
    assert len(export.csv.splitlines()) == 1501
    give = pb.AssignCouponRequest(campaign_id="mine", customer_id="ann", request_id="g")
    given = (await stub.AssignCoupon(give, metadata=metadata)).coupon
    held = await stub.ListCoupons(pb.ListCouponsRequest(holder_id="ann"), metadata=metadata)
    assert list(held.coupons) == [given]


async def test_what_is_wrong_in_a_request_is_said_with_its_place(club: Club) -> None:
    unknown = rule_pb2.Rule(score=rule_pb2.ScoreCondition(score="", operator=rule_pb2.OPERATOR_EQUALS))
    assert await refusal(create(club, campaign_id="a", code="a", condition=unknown)) == "RULE_INVALID"
    listed = rule_pb2.Rule(list=rule_pb2.ListCondition(list_id="vips"))
    assert await refusal(create(club, campaign_id="a", code="a", condition=listed)) == "RULE_UNSUPPORTED"
    assert await refusal(create(club, campaign_id="a", code="a", pattern="####")) == "COUPON_CAMPAIGN_INVALID"
    assert await refusal(create(club, campaign_id="a", pattern="####")) == "COUPON_PATTERN_INVALID"
    await create(club, campaign_id="a", code="a")
    assert await refusal(create(club, campaign_id="a", code="b")) == "COUPON_CAMPAIGN_EXISTS"
    assert await refusal(create(club, campaign_id="b", code="A")) == "COUPON_CODE_EXISTS"
    bad = cart()
    bad.lines[0].attributes_json = "[]"
    request = pb.ValidateCouponsRequest(coupons=[pb.PresentedCoupon(code="a")], cart=bad)
    assert await refusal(club.stub.ValidateCoupons(request, metadata=club.metadata)) == "FIELD_INVALID"
