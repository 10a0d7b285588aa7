"""What loyalty itself knows of who is shopping, for conditions to ask."""

from collections.abc import Mapping
from typing import Any

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.cart import Shopper
from services.loyalty.domain.customer import CUSTOMERS, SEGMENTS
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref


def shopper_needs(programs: Mapping[str, Program], customer_id: str) -> Needs:
    """What ``known_of`` and ``segments_of`` read."""
    return Needs(
        members=[(program_id, customer_id) for program_id in programs],
        records=[Ref(CUSTOMERS, customer_id), Ref(SEGMENTS, customer_id)],
    )


def known_of(books: Books, customer_id: str, now: int) -> dict[str, Any]:
    """The customer's tier in each programme, orders that earned (of the programme with most), and address."""
    tiers: dict[str, str] = {}
    orders = 0
    for program_id, program in books.programs.items():
        member = books.found(program_id, customer_id)
        tier = program.tier_at(member.qualifying(program, now)) if member else None
        orders = max(orders, member.orders if member else 0)
        if tier:
            tiers[program_id] = tier.id
    customer = books.record(Ref(CUSTOMERS, customer_id))
    address = {
        name: getattr(customer, name) or None for name in ("country", "region", "city", "postal_code") if customer
    }
    return {"tiers": tiers, "order_count": orders, **address}


def segments_of(books: Books, shopper: Shopper) -> frozenset[str]:
    """The segments that segmentation has told of, and those that the caller knows of."""
    known = books.record(Ref(SEGMENTS, shopper.customer_id))
    return shopper.segment_ids | frozenset(known.segment_ids if known else ())
