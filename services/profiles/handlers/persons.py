"""Who is meant: the origin that a request names, and all origins that are one person."""

from collections.abc import Sequence

from services.profiles.handlers.families import parts_of
from services.profiles.handlers.get_customer import CustomerNotFound
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import Identifier, Profiles

Person = str | Identifier
"""A customer id, or an identifier."""


async def origins_of(profiles: Profiles, tenant: str, customer_id: str) -> tuple[str, ...]:
    """All that a customer is made of, the one that is left first; ``CustomerNotFound``."""
    found = await families(profiles, tenant, [customer_id])
    if customer_id not in found:
        raise CustomerNotFound(f"there is no customer {customer_id}", customer_id=customer_id)
    return found[customer_id]


async def families(profiles: Profiles, tenant: str, customer_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Of those customers that exist the origins that each is made of, the one that is left first."""
    found = await retrying(lambda: parts_of(profiles, tenant, list(dict.fromkeys(customer_ids))))
    return {customer_id: tuple(part.customer_id for part in parts) for customer_id, parts in found.items()}


async def locate(profiles: Profiles, tenant: str, persons: Sequence[Person]) -> dict[Person, tuple[str, str]]:
    """Of those persons who are known the origin that is meant, and whose it is at the moment."""
    named = [person for person in persons if isinstance(person, tuple)]
    owners = await profiles.owners(tenant, list(dict.fromkeys(named))) if named else {}
    meant = {person: owners.get(person, "") if isinstance(person, tuple) else person for person in persons}
    found = await profiles.origins(tenant, [origin for origin in dict.fromkeys(meant.values()) if origin])
    return {person: (origin, found[origin][0].surviving_id) for person, origin in meant.items() if origin in found}
