"""Offers, quotes and the orders that are made of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from services.common.errors import NotFound
from services.loyalty.domain.cart import Cart
from services.loyalty.domain.cart_order import (
    CartOrder,
    CartOrderChanged,
    CartOrderNotFound,
    CommitCart,
    RollBackCart,
    SpentPoints,
)
from services.loyalty.domain.guesses import Guesser
from services.loyalty.domain.kept_quote import ForgetQuotes, KeepQuote, KeptQuote
from services.loyalty.domain.offer import Offer
from services.loyalty.domain.offer_operations import CreateOffer, UpdateOffer
from services.loyalty.domain.quote import Asked, Quote, QuoteCart
from services.loyalty.handlers.coupons import count_guesses_of, present
from services.loyalty.ports import UNASKED, Coupons, Ledger, Offers, Request

ATTEMPTS_MAX = 50
FORGET_MAX = 200
"""Quotes dropped in one commit."""


class QuoteNotFound(NotFound):
    """No quote with this id is kept."""


@dataclass(frozen=True, slots=True)
class Shopping:
    """Who asks for which cart, with which codes."""

    caller: str
    cart: Cart
    codes: Sequence[str]
    order_id: str = ""


async def create_offer(ledger: Ledger, offers: Offers, coupons: Coupons, request: Request, offer: Offer) -> Offer:
    """Put an offer up."""
    await coupons.enlist(request.tenant)
    existing = await offers.count(request.tenant)
    return await ledger.post(request, CreateOffer(offer=offer, existing=existing))


async def update_offer(ledger: Ledger, request: Request, change: UpdateOffer) -> Offer:
    """Pause an offer, let it go on, or change its end or priority."""
    return await ledger.post(request, change)


async def quote_cart(ledger: Ledger, offers: Offers, coupons: Coupons, tenant: str, shopping: Shopping) -> Quote:
    """What the cart costs. Nothing is kept but the count of codes that were not found."""
    asked = await ask(offers, coupons, tenant, shopping)
    quote = await ledger.try_out(tenant, QuoteCart(asked=asked))
    await _count(ledger, tenant, asked, quote)
    return quote


async def keep_quote(
    ledger: Ledger, offers: Offers, coupons: Coupons, request: Request, shopping: Shopping
) -> KeptQuote:
    """What the cart costs, kept for the order that it becomes and for whoever asks why."""
    await coupons.enlist(request.tenant)
    asked = await ask(offers, coupons, request.tenant, shopping)
    kept = await ledger.post(request, KeepQuote(asked=asked, quote_id=f"quote_{uuid4().hex}"))
    await _count(ledger, request.tenant, asked, kept.quote)
    return kept


async def commit_cart(
    ledger: Ledger,
    offers: Offers,
    coupons: Coupons,
    request: Request,
    shopping: Shopping,
    expected_total_minor: int | None,
    spend: SpentPoints | None,
) -> CartOrder:
    """Use what the cart was quoted, for an order."""
    asked = await ask(offers, coupons, request.tenant, shopping)
    committing = CommitCart(asked=asked, expected_total_minor=expected_total_minor, spend=spend, request_id=request.id)
    return await ledger.post(request, committing)


async def kept_shopping(offers: Offers, tenant: str, quote_id: str, caller: str, order_id: str) -> tuple[Shopping, int]:
    """The cart of a kept quote, and its total; ``QuoteNotFound``."""
    kept = await offers.quote(tenant, quote_id)
    if kept is None:
        raise QuoteNotFound(f"no quote {quote_id} is kept", quote_id=quote_id)
    return Shopping(caller, kept.cart, kept.codes, order_id), kept.quote.total_minor


async def roll_back_cart(ledger: Ledger, offers: Offers, request: Request, order_id: str) -> CartOrder:
    """Give back everything that an order has used."""
    for attempt in range(ATTEMPTS_MAX):
        known = await offers.order(request.tenant, order_id)
        if known is None:
            raise CartOrderNotFound(f"no cart was committed for order {order_id}", order_id=order_id)
        try:
            return await ledger.post(request, RollBackCart(known=known))
        except CartOrderChanged:
            if attempt == ATTEMPTS_MAX - 1:
                raise
    raise AssertionError("unreachable")


async def forget_quotes(ledger: Ledger, offers: Offers, coupons: Coupons, before: int) -> int:
    """Drop the quotes of all tenants that are older than that; how many there were."""
    dropped = 0
    async for tenant in coupons.tenants():
        while old := await offers.quotes_before(tenant, before, FORGET_MAX):
            dropped += await ledger.post(Request(tenant, UNASKED, ""), ForgetQuotes(old))
    return dropped


async def forget_quotes_of(ledger: Ledger, offers: Offers, tenant: str, customer_id: str) -> int:
    """Drop every quote of a customer who is erased; how many there were."""
    dropped = 0
    while kept := (await offers.quotes(tenant, customer_id, FORGET_MAX, ""))[0]:
        dropped += await ledger.post(Request(tenant, UNASKED, ""), ForgetQuotes([each.quote_id for each in kept]))
    return dropped


async def ask(offers: Offers, coupons: Coupons, tenant: str, shopping: Shopping) -> Asked:
    """What a quote is made of."""
    presented, known = await asyncio.gather(
        present(coupons, tenant, [(code, 0) for code in shopping.codes]), offers.all(tenant)
    )
    guesser = Guesser(shopping.cart.shopper.customer_id, shopping.caller)
    cart = replace(shopping.cart, lines=tuple(sorted(shopping.cart.lines, key=lambda line: line.line_id)))
    asked = Asked(cart=cart, presented=presented, offers=known, guesser=guesser, order_id=shopping.order_id)
    if not any(offer.action.personal for offer in known):
        return asked
    standing = await offers.standing(tenant, cart.shopper.customer_id, cart.shopper.segment_ids)
    return replace(asked, standing=standing)


async def _count(ledger: Ledger, tenant: str, asked: Asked, quote: Quote) -> None:
    await count_guesses_of(
        ledger, tenant, asked.guesser, sum(code.reason == "COUPON_NOT_FOUND" for code in quote.codes)
    )
