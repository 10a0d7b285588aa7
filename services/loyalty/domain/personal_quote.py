"""Personal offers in a quote: which share each has for the person, what came of it, and keeping both."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from services.loyalty.domain.books import Books
from services.loyalty.domain.cart import Shopper
from services.loyalty.domain.offer import Offer
from services.loyalty.domain.people import names_of
from services.loyalty.domain.personal_price import (
    PERSONAL_PRICES,
    SEGMENTS_MAX,
    KeptDiscount,
    PersonalDiscount,
    PersonalLine,
    PersonalPrice,
    PriceKnowledge,
    QuotedPersonal,
    discount_of,
    discount_ref,
    line_bounds,
)
from services.loyalty.domain.pricing import Effect, Pricing, floor_of
from services.loyalty.domain.records import Ref
from services.loyalty.domain.shopper import segments_of


class Quoted(Protocol):
    """What is kept of a quote."""

    @property
    def customer_id(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def time(self) -> int: ...
    @property
    def personal(self) -> tuple[QuotedPersonal, ...]: ...
    @property
    def applied(self) -> Sequence[Any]: ...


def discount_refs(offers: Iterable[Offer], names: Iterable[str]) -> list[Ref[KeptDiscount]]:
    """What must be loaded to know which shares are kept for a person of these names."""
    told = list(names)
    return [discount_ref(offer.offer_id, name) for offer in offers if offer.action.personal for name in told]


def discounts_for(
    books: Books, offers: Iterable[Offer], customer_id: str, known: PriceKnowledge | None, now: int
) -> dict[str, PersonalDiscount]:
    """The share that each personal offer has for the person, by the offer's id; under whichever name it is kept."""
    names = list(dict.fromkeys((customer_id, *names_of(books, customer_id))))
    found = {}
    for offer in offers:
        if offer.action.personal:
            shares = [books.record(discount_ref(offer.offer_id, name)) for name in names]
            kept = next((each for each in shares if each and now < each.expire_time), None)
            found[offer.offer_id] = discount_of(offer.offer_id, offer.action.personal, kept, known, now)
    return found


def quoted_personal(
    offer: Offer, discount: PersonalDiscount, pricing: Pricing, effects: Sequence[Effect]
) -> QuotedPersonal:
    """What an offer's share came to on the lines that it is about, with the effects in the order of application."""
    terms = offer.action.personal
    assert terms is not None
    at = next((index for index, effect in enumerate(effects) if effect.offer_id == offer.offer_id), None)
    lines = []
    for line in pricing.matching(offer.action.items):
        total = line.total_minor - sum(effect.lines.get(line.line_id, 0) for effect in effects)
        taken = effects[at].lines.get(line.line_id, 0) if at is not None else 0
        until = effects[: at + 1] if at is not None else ()
        left = line.total_minor - sum(effect.lines.get(line.line_id, 0) for effect in until)
        bounds = line_bounds(terms, left, line.total_minor, floor_of(offer, line)) if at is not None else ()
        lines.append(PersonalLine(line.item_id, line.quantity, line.total_minor, taken, total, bounds))
    return QuotedPersonal(
        discount=discount,
        min_share=terms.min_share,
        max_share=terms.max_share,
        lines=tuple(lines),
        applied=at is not None,
    )


def keep_personal(
    books: Books, quote: Quoted, shopper: Shopper, name: str, *, quote_id: str = "", order_id: str = ""
) -> tuple[QuotedPersonal, ...]:
    """Keep the shares of a quote for the person, and the record of what they were quoted, under ``name``.

    What the quote says of them from then on: that they are kept.
    """
    segment_ids = tuple(sorted(segments_of(books, shopper)))[:SEGMENTS_MAX] if quote.personal else ()
    for each in quote.personal:
        discount = each.discount
        if not discount.kept:
            kept = KeptDiscount(quote.customer_id, discount.expire_time, replace(discount, kept=True))
            books.put_record(discount_ref(discount.offer_id, quote.customer_id), kept)
        told = discount.sensitivity
        price = PersonalPrice(
            customer_id=quote.customer_id,
            offer_id=discount.offer_id,
            quote_time=quote.time,
            quote_id=quote_id,
            order_id=order_id,
            currency=quote.currency,
            share=discount.share,
            min_share=each.min_share,
            max_share=each.max_share,
            basis=discount.basis,
            bounds=discount.bounds,
            elasticity=told.elasticity if told else 0.0,
            standard_error=told.standard_error if told else 0.0,
            observation_count=told.event_count if told else 0,
            model_version=discount.model_version,
            expire_time=discount.expire_time,
            list_minor=sum(line.list_minor for line in each.lines),
            discount_minor=sum(line.discount_minor for line in each.lines),
            lines=each.lines,
            applied=each.applied,
            applied_offer_ids=tuple(applied.offer_id for applied in quote.applied),
            segment_ids=segment_ids,
        )
        books.put_record(Ref(PERSONAL_PRICES, f"{name}/{discount.offer_id}"), price)
    return tuple(replace(each, discount=replace(each.discount, kept=True)) for each in quote.personal)
