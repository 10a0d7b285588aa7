"""How the rpcs of coupons and offers keep tenants apart."""

from tessera.loyalty.v1 import coupon_pb2 as coupon

from tests.contracts.tenant_rule import Beside, Refused, Rule, Without

CAMPAIGN = "COUPON_CAMPAIGN_NOT_FOUND"

PROMOTIONS: dict[str, Rule] = {
    "CreateCouponCampaign": Beside(
        lambda acme: coupon.CreateCouponCampaignRequest(
            campaign=coupon.CouponCampaign(
                campaign_id=acme.own("spring"), name="Theirs", currency="EUR", code=acme.own("spring")
            ),
            request_id="spring-2",
        ),
        ("GetCouponCampaign", lambda acme: coupon.GetCouponCampaignRequest(campaign_id=acme.own("spring"))),
    ),
    "UpdateCouponCampaign": Refused(
        lambda acme: coupon.UpdateCouponCampaignRequest(campaign_id=acme.own("unique"), paused=True, request_id="cu"),
        CAMPAIGN,
    ),
    "GetCouponCampaign": Refused(
        lambda acme: coupon.GetCouponCampaignRequest(campaign_id=acme.own("unique")), CAMPAIGN
    ),
    "ListCouponCampaigns": Without(lambda acme: coupon.ListCouponCampaignsRequest()),
    "GenerateCoupons": Refused(
        lambda acme: coupon.GenerateCouponsRequest(campaign_id=acme.own("unique"), count=1, request_id="cg"), CAMPAIGN
    ),
    "GetCouponJob": Refused(lambda acme: coupon.GetCouponJobRequest(job_id=acme.coupon_job_id), "JOB_NOT_FOUND"),
    "ListCoupons": Without(
        lambda acme: coupon.ListCouponsRequest(campaign_id=acme.own("unique")), lambda found: found.coupons
    ),
    "ExportCoupons": Refused(lambda acme: coupon.ExportCouponsRequest(campaign_id=acme.own("unique")), CAMPAIGN),
    "AssignCoupon": Refused(
        lambda acme: coupon.AssignCouponRequest(campaign_id=acme.own("unique"), customer_id="x", request_id="ca"),
        CAMPAIGN,
    ),
    "SwitchCoupon": Refused(
        lambda acme: coupon.SwitchCouponRequest(code=acme.own("spring"), disabled=True, request_id="cs"),
        "COUPON_NOT_FOUND",
    ),
    "ValidateCoupons": Without(
        lambda acme: coupon.ValidateCouponsRequest(
            coupons=[coupon.PresentedCoupon(code=acme.own("spring"))], cart=acme.cart()
        ),
        lambda found: found.verdicts[0].valid,
    ),
    "ReserveCoupons": Refused(
        lambda acme: coupon.ReserveCouponsRequest(
            order_id="x", coupons=[coupon.PresentedCoupon(code=acme.own("spring"))], cart=acme.cart(), request_id="cr"
        ),
        "COUPON_NOT_FOUND",
    ),
    "RedeemCoupons": Refused(
        lambda acme: coupon.RedeemCouponsRequest(
            order_id="x", coupons=[coupon.PresentedCoupon(code=acme.own("spring"))], cart=acme.cart(), request_id="cd"
        ),
        "COUPON_NOT_FOUND",
    ),
    "RollBackCoupons": Refused(
        lambda acme: coupon.RollBackCouponsRequest(order_id=acme.own("checkout"), request_id="cb"),
        "COUPON_ORDER_NOT_FOUND",
    ),
    "ListCouponOrders": Without(
        lambda acme: coupon.ListCouponOrdersRequest(customer_id=acme.own("ann")), lambda found: found.orders
    ),
}
