"""What loyalty itself knows of who is shopping, for conditions to ask."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.loyalty.domain.books import Books, Key
from services.loyalty.domain.program import Program


def shopper_members(programs: Mapping[str, Program], customer_id: str) -> Iterable[Key]:
    """The memberships that ``known_of`` reads."""
    return [(program_id, customer_id) for program_id in programs]


def known_of(books: Books, customer_id: str, now: int) -> dict[str, Any]:
    """The customer's tier in each programme, where there is one."""
    tiers: dict[str, str] = {}
    for program_id, program in books.programs.items():
        member = books.members.get((program_id, customer_id))
        tier = program.tier_at(member.qualifying(program, now)) if member else None
        if tier:
            tiers[program_id] = tier.id
    return {"tiers": tiers}
