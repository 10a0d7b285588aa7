"""How the rpcs of coupons and offers keep tenants apart."""

from tessera.loyalty.v1 import coupon_pb2 as coupon
from tessera.loyalty.v1 import offer_pb2 as offer
from tessera.loyalty.v1 import referral_pb2 as referral
from tessera.loyalty.v1 import reward_pb2 as reward

from tests.contracts.tenant_rule import ACME, Beside, Refused, Rule, Stream, Without

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
    "FollowCouponJob": Stream(lambda acme: coupon.FollowCouponJobRequest(job_id=acme.coupon_job_id)),
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
    "ReserveReward": Refused(
        lambda acme: reward.ReserveRewardRequest(
            program_id=acme.own("club"), member_id="x", reward_id=acme.own("mug"), request_id="rr"
        ),
        "PROGRAM_NOT_FOUND",
    ),
    "FulfilRedemption": Refused(
        lambda acme: reward.FulfilRedemptionRequest(redemption_id=acme.redemption_id, request_id="rf"),
        "REDEMPTION_NOT_FOUND",
    ),
    "CancelRedemption": Refused(
        lambda acme: reward.CancelRedemptionRequest(redemption_id=acme.redemption_id, request_id="rc"),
        "REDEMPTION_NOT_FOUND",
    ),
    "ListRedemptions": Without(
        lambda acme: reward.ListRedemptionsRequest(program_id=acme.own("club"), member_id=acme.own("taker")),
        lambda found: found.redemptions,
    ),
    "CreateReferralCampaign": Refused(
        lambda acme: referral.CreateReferralCampaignRequest(
            campaign=referral.ReferralCampaign(
                campaign_id="x", name="x", program_id=acme.own("club"), currency="USD", friend_points=1
            ),
            request_id="fc",
        ),
        "PROGRAM_NOT_FOUND",
    ),
    "ListReferralCampaigns": Without(lambda acme: referral.ListReferralCampaignsRequest()),
    "GetReferralFigures": Refused(
        lambda acme: referral.GetReferralFiguresRequest(campaign_id=acme.own("friends")), "REFERRAL_CAMPAIGN_NOT_FOUND"
    ),
    "IssueReferralCode": Refused(
        lambda acme: referral.IssueReferralCodeRequest(
            campaign_id=acme.own("friends"), customer_id="x", request_id="fi"
        ),
        "REFERRAL_CAMPAIGN_NOT_FOUND",
    ),
    "AttributeReferral": Refused(
        lambda acme: referral.AttributeReferralRequest(code=acme.referral_code, friend_id="x", request_id="fa"),
        "REFERRAL_CODE_NOT_FOUND",
    ),
    "ListReferrals": Without(
        lambda acme: referral.ListReferralsRequest(advocate_id=acme.own("taker")), lambda found: found.referrals
    ),
    "CreateOffer": Beside(
        lambda acme: offer.CreateOfferRequest(
            offer=offer.Offer(
                offer_id=acme.own("tenth"),
                name="Theirs",
                currency="EUR",
                action=offer.OfferAction(order_share=offer.ShareOff(share=1)),
            ),
            request_id="tenth-2",
        ),
        ("GetOffer", lambda acme: offer.GetOfferRequest(offer_id=acme.own("tenth"))),
    ),
    "UpdateOffer": Refused(
        lambda acme: offer.UpdateOfferRequest(offer_id=acme.own("fifth"), paused=True, request_id="ou"),
        "OFFER_NOT_FOUND",
    ),
    "GetOffer": Refused(lambda acme: offer.GetOfferRequest(offer_id=acme.own("fifth")), "OFFER_NOT_FOUND"),
    "ListOffers": Without(lambda acme: offer.ListOffersRequest()),
    "QuoteCart": Without(
        lambda acme: offer.QuoteCartRequest(cart=acme.cart()),
        lambda found: any(each.offer_id.startswith(ACME) for each in found.quote.applied_offers),
    ),
    "KeepQuote": Beside(
        lambda acme: offer.KeepQuoteRequest(cart=acme.cart(), request_id="keep"),
        ("ListQuotes", lambda acme: offer.ListQuotesRequest(customer_id=acme.own("ann"))),
    ),
    "ListQuotes": Without(
        lambda acme: offer.ListQuotesRequest(customer_id=acme.own("ann")),
        lambda found: found.quotes,
    ),
    "CommitCart": Refused(
        lambda acme: offer.CommitCartRequest(order_id="x", quote_id=acme.quote_id, request_id="oc"), "QUOTE_NOT_FOUND"
    ),
    "RollBackCart": Refused(
        lambda acme: offer.RollBackCartRequest(order_id=acme.own("bought"), request_id="ob"), "CART_ORDER_NOT_FOUND"
    ),
    "GetCartOrder": Refused(
        lambda acme: offer.GetCartOrderRequest(order_id=acme.own("bought")), "CART_ORDER_NOT_FOUND"
    ),
}
