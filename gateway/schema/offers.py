"""Offers, and what carts cost, in the schema."""

from collections.abc import Sequence
from typing import Any

import strawberry
from strawberry import Parent
from tessera.loyalty.v1 import cart_pb2
from tessera.loyalty.v1 import offer_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.carts import recognised
from gateway.schema.connections import After, First, Page, page
from gateway.schema.forms import input_form
from gateway.schema.profiles import Customer
from gateway.schema.registry import computed, edge, from_proto, input_from_proto, mutation, query
from gateway.schema.scalars import JSON

_OFFER = (
    "offer_id",
    "name",
    "currency",
    "priority",
    "start_time",
    "end_time",
    "slots",
    "time_zone",
    "min_order_minor",
    "min_quantity",
    "coupon_campaign_id",
    "stackable",
    "exclusivity_group",
    "total_limit",
    "customer_limit",
    "budget_minor",
    "floor_share",
)
_SLOT = ("weekdays", "start_minute", "end_minute")


@from_proto(pb.TimeSlot, *_SLOT)
class TimeSlot: ...


@from_proto(pb.Offer, *_OFFER, "paused", "create_time")
class Offer: ...


@computed(Offer, JSON)
def action(offer: pb.Offer) -> dict[str, Any]:
    """What it does, in the form of `OfferActionInput`."""
    return input_form(offer.action)


@computed(Offer, JSON | None)
def condition(offer: pb.Offer) -> dict[str, Any] | None:
    """What the cart and the customer must be like, in the form of `RuleInput`; null: anything."""
    return input_form(offer.condition) if offer.HasField("condition") else None


@computed(Offer, JSON | None)
def items(offer: pb.Offer) -> dict[str, Any] | None:
    """Which items its thresholds count, in the form of `RuleInput`; null: all."""
    return input_form(offer.items) if offer.HasField("items") else None


@from_proto(pb.GetOfferResponse, "offer", "use_count", "discount_minor")
class OfferUsage:
    """An offer and how often it was used."""


@from_proto(pb.LineDiscount, "offer_id", "discount_minor")
class LineDiscount: ...


@from_proto(pb.QuotedLine, "line_id", "item_id", "quantity", "list_minor", "discount_minor", "total_minor", "discounts")
class QuotedLine: ...


@from_proto(
    pb.AppliedOffer,
    "offer_id",
    "name",
    "discount_minor",
    "shipping_minor",
    "gift_item_id",
    "gift_quantity",
    "points_multiplier",
    "code",
)
class AppliedOffer: ...


@from_proto(pb.MissedOffer, "offer_id", "name", "reason", "missing_minor", "missing_quantity")
class MissedOffer: ...


@from_proto(pb.QuotedCoupon, "code", "campaign_id", "discount_minor", "reason", "message", "missing_minor")
class QuotedCoupon: ...


@from_proto(pb.QuotedPoints, "program_id", "earned_points", "available_points", "payable_points", "payable_minor")
class QuotedPoints: ...


@from_proto(
    pb.Quote,
    "quote_time",
    "currency",
    "lines",
    "shipping_minor",
    "shipping_discount_minor",
    "list_minor",
    "discount_minor",
    "total_minor",
    "applied_offers",
    "nearly_offers",
    "missed_offers",
    "coupons",
    "points",
    "exact",
    "personal_discounts",
)
class Quote: ...


@from_proto(pb.KeptQuote, "quote_id", "customer_id", "quote", "codes")
class KeptQuote: ...


@from_proto(pb.SpentPoints, "program_id", "points", "entry_id", "amount_minor")
class SpentPoints: ...


@from_proto(pb.CartOrder, "order_id", "customer_id", "state", "quote", "codes", "spent", "commit_time", "end_time")
class CartOrder: ...


@input_from_proto(pb.TimeSlot, *_SLOT)
class TimeSlotInput: ...


@input_from_proto(pb.ShareOff, "share", "items", "max_minor")
class ShareOffInput: ...


@input_from_proto(pb.AmountOff, "amount_minor", "items", "max_minor")
class AmountOffInput: ...


@input_from_proto(pb.UnitPrice, "price_minor", "items")
class UnitPriceInput: ...


@input_from_proto(pb.ItemPrice, "item_id", "price_minor")
class ItemPriceInput: ...


@input_from_proto(pb.PriceList, "prices")
class PriceListInput: ...


@input_from_proto(pb.VolumeTier, "min_quantity", "share", "price_minor")
class VolumeTierInput: ...


@input_from_proto(pb.VolumePrice, "items", "tiers", "across_items")
class VolumePriceInput: ...


@input_from_proto(pb.BuyGet, "items", "buy_quantity", "get_quantity", "share", "choice", "get_items", "times_max")
class BuyGetInput: ...


@input_from_proto(pb.BundlePart, "quantity", "items")
class BundlePartInput: ...


@input_from_proto(pb.Bundle, "parts", "price_minor", "times_max")
class BundleInput: ...


@input_from_proto(pb.FreeShipping, "max_minor")
class FreeShippingInput: ...


@input_from_proto(pb.Gift, "item_id", "quantity")
class GiftInput: ...


@input_from_proto(pb.PointsMultiplier, "multiplier")
class PointsMultiplierInput: ...


@input_from_proto(
    pb.OfferAction,
    "order_share",
    "order_amount",
    "line_share",
    "line_amount",
    "line_price",
    "price_list",
    "volume",
    "buy_get",
    "bundle",
    "free_shipping",
    "gift",
    "points_multiplier",
    "personal_share",
)
class OfferActionInput: ...


@input_from_proto(pb.Offer, *_OFFER, "action", "condition", "items")
class OfferInput: ...


@input_from_proto(pb.CreateOfferRequest, "request_id", "offer")
class CreateOfferInput: ...


@from_proto(pb.CreateOfferResponse, "offer")
class CreateOfferPayload: ...


@input_from_proto(pb.UpdateOfferRequest, "request_id", "offer_id", "paused", "end_time", "priority")
class UpdateOfferInput: ...


@from_proto(pb.UpdateOfferResponse, "offer")
class UpdateOfferPayload: ...


@input_from_proto(pb.QuoteCartRequest, "cart", "codes", "order_id")
class QuoteCartInput: ...


@input_from_proto(pb.KeepQuoteRequest, "request_id", "cart", "codes")
class KeepQuoteInput: ...


@from_proto(pb.KeepQuoteResponse, "quote")
class KeepQuotePayload: ...


@input_from_proto(pb.SpentPoints, "program_id", "points")
class SpentPointsInput: ...


@input_from_proto(
    pb.CommitCartRequest, "request_id", "order_id", "cart", "quote_id", "codes", "expected_total_minor", "spend"
)
class CommitCartInput: ...


@from_proto(pb.CommitCartResponse, "order")
class CommitCartPayload: ...


@input_from_proto(pb.RollBackCartRequest, "request_id", "order_id")
class RollBackCartInput: ...


@from_proto(pb.RollBackCartResponse, "order")
class RollBackCartPayload: ...


@query(by_rpc("loyalty.ListOffers"))
async def offers(info: Info, first: First = 20, after: After = None) -> Page[pb.Offer]:
    """The offers, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Offer], str]:
        request = pb.ListOffersRequest(page_size=size, page_token=token)
        answer = await info.context.backends.loyalty.ListOffers(request, metadata=info.context.metadata)
        return answer.offers, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("loyalty.GetOffer"))
async def offer(info: Info, id: strawberry.ID) -> pb.GetOfferResponse | None:
    """One offer and how often it was used; null if there is none."""
    request = pb.GetOfferRequest(offer_id=id)
    return await none_if_not_found(info.context.backends.loyalty.GetOffer(request, metadata=info.context.metadata))


@query(by_rpc("loyalty.QuoteCart"))
async def quote_cart(info: Info, input: pb.QuoteCartRequest) -> pb.Quote | None:
    await recognised(info.context, input.cart)
    answer = await info.context.backends.loyalty.QuoteCart(input, metadata=info.context.metadata)
    return answer.quote


@query(by_rpc("loyalty.GetCartOrder"))
async def cart_order(info: Info, id: strawberry.ID) -> pb.CartOrder | None:
    """What an order has used; null if no cart was committed for it."""
    request = pb.GetCartOrderRequest(order_id=id)
    backend = info.context.backends.loyalty
    answer = await none_if_not_found(backend.GetCartOrder(request, metadata=info.context.metadata))
    return answer.order if answer else None


@edge(Customer, by_rpc("loyalty.ListQuotes"))
async def quotes(
    customer: Parent[profiles_pb.Customer], info: Info, first: First = 20, after: After = None
) -> Page[pb.KeptQuote]:
    """What the customer was quoted, latest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.KeptQuote], str]:
        request = pb.ListQuotesRequest(customer_id=customer.customer_id, page_size=size, page_token=token)
        answer = await info.context.backends.loyalty.ListQuotes(request, metadata=info.context.metadata)
        return answer.quotes, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("loyalty.CreateOffer"))
async def create_offer(info: Info, input: pb.CreateOfferRequest) -> pb.CreateOfferResponse:
    return await info.context.backends.loyalty.CreateOffer(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.UpdateOffer"))
async def update_offer(info: Info, input: pb.UpdateOfferRequest) -> pb.UpdateOfferResponse:
    return await info.context.backends.loyalty.UpdateOffer(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.KeepQuote"))
async def keep_quote(info: Info, input: pb.KeepQuoteRequest) -> pb.KeepQuoteResponse:
    await recognised(info.context, input.cart)
    return await info.context.backends.loyalty.KeepQuote(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.CommitCart"))
async def commit_cart(info: Info, input: pb.CommitCartRequest) -> pb.CommitCartResponse:
    if input.HasField("cart"):
        cart: cart_pb2.Cart = input.cart
        await recognised(info.context, cart)
    return await info.context.backends.loyalty.CommitCart(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.RollBackCart"))
async def roll_back_cart(info: Info, input: pb.RollBackCartRequest) -> pb.RollBackCartResponse:
    return await info.context.backends.loyalty.RollBackCart(input, metadata=info.context.metadata)
