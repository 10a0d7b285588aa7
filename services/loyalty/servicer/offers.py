"""The rpcs of offers, quotes and the orders made of them."""

from dataclasses import dataclass

from tessera.loyalty.v1 import offer_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.validation import FieldInvalid
from services.loyalty.domain.cart_order import CartOrder, CartOrderNotFound, CartOrderState, SpentPoints
from services.loyalty.domain.kept_quote import KeptQuote
from services.loyalty.domain.offer_operations import UpdateOffer
from services.loyalty.domain.qualification import Lack
from services.loyalty.domain.quote import AppliedOffer, Quote, QuotedCode, QuotedLine
from services.loyalty.handlers.offers import (
    Shopping,
    commit_cart,
    create_offer,
    keep_quote,
    kept_shopping,
    quote_cart,
    roll_back_cart,
    update_offer,
)
from services.loyalty.ports import Coupons, Ledger, Offers
from services.loyalty.servicer.calls import Context, micros, named, page_size, timestamp
from services.loyalty.servicer.carts import read_cart, time_message
from services.loyalty.servicer.offer_messages import offer_message, read_offer
from services.loyalty.servicer.pricing_messages import discount_message

_STATES = {state: pb.CartOrderState.Value(f"CART_ORDER_STATE_{state.name}") for state in CartOrderState}


@dataclass(frozen=True, kw_only=True)
class OfferRpcs(LoyaltyServiceServicer):
    """Offers, and what carts cost with them."""

    ledger: Ledger
    offers: Offers
    coupons: Coupons

    async def CreateOffer(self, request: pb.CreateOfferRequest, context: Context) -> pb.CreateOfferResponse:
        offer = await create_offer(self.ledger, self.offers, self.coupons, named(request), read_offer(request.offer))
        return pb.CreateOfferResponse(offer=offer_message(offer))

    async def UpdateOffer(self, request: pb.UpdateOfferRequest, context: Context) -> pb.UpdateOfferResponse:
        change = UpdateOffer(
            offer_id=request.offer_id,
            paused=request.paused if request.HasField("paused") else None,
            end_time=micros(request.end_time) if request.HasField("end_time") else None,
            priority=request.priority if request.HasField("priority") else None,
        )
        return pb.UpdateOfferResponse(offer=offer_message(await update_offer(self.ledger, named(request), change)))

    async def GetOffer(self, request: pb.GetOfferRequest, context: Context) -> pb.GetOfferResponse:
        offer, usage = await self.offers.get(principal().tenant, request.offer_id)
        return pb.GetOfferResponse(
            offer=offer_message(offer), use_count=usage.uses, discount_minor=usage.discount_minor
        )

    async def ListOffers(self, request: pb.ListOffersRequest, context: Context) -> pb.ListOffersResponse:
        found, token = await self.offers.page(principal().tenant, page_size(request), request.page_token)
        return pb.ListOffersResponse(offers=map(offer_message, found), next_page_token=token)

    async def QuoteCart(self, request: pb.QuoteCartRequest, context: Context) -> pb.QuoteCartResponse:
        shopping = Shopping(principal().subject, read_cart(request.cart), request.codes, request.order_id)
        quote = await quote_cart(self.ledger, self.offers, self.coupons, principal().tenant, shopping)
        return pb.QuoteCartResponse(quote=quote_message(quote))

    async def KeepQuote(self, request: pb.KeepQuoteRequest, context: Context) -> pb.KeepQuoteResponse:
        shopping = Shopping(principal().subject, read_cart(request.cart), request.codes)
        kept = await keep_quote(self.ledger, self.offers, self.coupons, named(request), shopping)
        return pb.KeepQuoteResponse(quote=kept_message(kept))

    async def ListQuotes(self, request: pb.ListQuotesRequest, context: Context) -> pb.ListQuotesResponse:
        found, token = await self.offers.quotes(
            principal().tenant, request.customer_id, page_size(request), request.page_token
        )
        return pb.ListQuotesResponse(quotes=map(kept_message, found), next_page_token=token)

    async def CommitCart(self, request: pb.CommitCartRequest, context: Context) -> pb.CommitCartResponse:
        shopping, quoted = await self._shopping(request)
        expected = request.expected_total_minor if request.HasField("expected_total_minor") else quoted
        spend = SpentPoints(request.spend.program_id, request.spend.points) if request.HasField("spend") else None
        order = await commit_cart(self.ledger, self.offers, self.coupons, named(request), shopping, expected, spend)
        return pb.CommitCartResponse(order=order_message(order))

    async def RollBackCart(self, request: pb.RollBackCartRequest, context: Context) -> pb.RollBackCartResponse:
        order = await roll_back_cart(self.ledger, self.offers, named(request), request.order_id)
        return pb.RollBackCartResponse(order=order_message(order))

    async def GetCartOrder(self, request: pb.GetCartOrderRequest, context: Context) -> pb.GetCartOrderResponse:
        order = await self.offers.order(principal().tenant, request.order_id)
        if order is None:
            raise CartOrderNotFound(f"no cart was committed for {request.order_id}", order_id=request.order_id)
        return pb.GetCartOrderResponse(order=order_message(order))

    async def _shopping(self, request: pb.CommitCartRequest) -> tuple[Shopping, int | None]:
        caller = principal()
        match request.WhichOneof("source"):
            case "cart":
                return Shopping(caller.subject, read_cart(request.cart), request.codes, request.order_id), None
            case "quote_id":
                return await kept_shopping(
                    self.offers, caller.tenant, request.quote_id, caller.subject, request.order_id
                )
        raise FieldInvalid("cart or quote_id must say what is bought", field="source")


def quote_message(quote: Quote) -> pb.Quote:
    """A quote."""
    return pb.Quote(
        quote_time=timestamp(quote.time),
        currency=quote.currency,
        lines=map(_line, quote.lines),
        shipping_minor=quote.shipping_minor,
        shipping_discount_minor=quote.shipping_discount_minor,
        list_minor=quote.list_minor,
        discount_minor=quote.discount_minor,
        total_minor=quote.total_minor,
        applied_offers=map(_applied, quote.applied),
        nearly_offers=map(_missed, quote.nearly),
        missed_offers=map(_missed, quote.missed),
        coupons=map(_code, quote.codes),
        points=[
            pb.QuotedPoints(
                program_id=each.program_id,
                earned_points=each.earned,
                available_points=each.available,
                payable_points=each.payable,
                payable_minor=each.payable_minor,
            )
            for each in quote.points
        ],
        exact=quote.exact,
        personal_discounts=[discount_message(each.discount) for each in quote.personal],
    )


def _line(line: QuotedLine) -> pb.QuotedLine:
    return pb.QuotedLine(
        line_id=line.line_id,
        item_id=line.item_id,
        quantity=line.quantity,
        list_minor=line.list_minor,
        discount_minor=line.discount_minor,
        total_minor=line.total_minor,
        discounts=[pb.LineDiscount(offer_id=each.offer_id, discount_minor=each.discount_minor) for each in line.parts],
    )


def _applied(applied: AppliedOffer) -> pb.AppliedOffer:
    return pb.AppliedOffer(
        offer_id=applied.offer_id,
        name=applied.name,
        discount_minor=applied.discount_minor,
        shipping_minor=applied.shipping_minor,
        gift_item_id=applied.gift_item_id,
        gift_quantity=applied.gift_quantity,
        points_multiplier=applied.points_multiplier,
        code=applied.code,
    )


def _missed(lack: Lack) -> pb.MissedOffer:
    return pb.MissedOffer(
        offer_id=lack.offer_id,
        name=lack.name,
        reason=lack.reason,
        missing_minor=lack.missing_minor,
        missing_quantity=lack.missing_quantity,
    )


def _code(code: QuotedCode) -> pb.QuotedCoupon:
    return pb.QuotedCoupon(
        code=code.code,
        campaign_id=code.campaign_id,
        discount_minor=code.discount_minor,
        reason=code.reason,
        message=code.message,
        missing_minor=code.missing_minor,
    )


def kept_message(kept: KeptQuote) -> pb.KeptQuote:
    """A quote that was kept."""
    return pb.KeptQuote(
        quote_id=kept.quote_id, customer_id=kept.customer_id, quote=quote_message(kept.quote), codes=kept.codes
    )


def order_message(order: CartOrder) -> pb.CartOrder:
    """What an order has used."""
    spent = order.spent
    return pb.CartOrder(
        order_id=order.order_id,
        customer_id=order.customer_id,
        state=_STATES[order.state],
        quote=quote_message(order.quote),
        codes=order.codes,
        spent=pb.SpentPoints(
            program_id=spent.program_id,
            points=spent.points,
            entry_id=spent.entry_id,
            amount_minor=spent.amount_minor,
        )
        if spent
        else None,
        commit_time=timestamp(order.time),
        end_time=time_message(order.end_time, 0),
    )
