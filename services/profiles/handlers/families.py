"""Customers with all that they are made of."""

from collections.abc import Collection, Mapping

from services.common.errors import Conflict
from services.profiles.domain.customer import Customer
from services.profiles.domain.merge import whole
from services.profiles.ports import Profiles

Versioned = tuple[Customer, int]


async def families(
    profiles: Profiles, tenant: str, surviving_ids: Collection[str], known: Mapping[str, Versioned]
) -> dict[str, Versioned]:
    """All origins of some surviving customers, besides those that are ``known``.

    ``Conflict`` if what is read does not fit together, because somebody merges at the moment: read again.
    """
    tops = await _missing(profiles, tenant, surviving_ids, known)
    everyone = {**known, **tops}
    if not all(key in everyone and not everyone[key][0].merged_into for key in surviving_ids):
        raise Conflict("customers are being merged at the moment; read again")
    belongs = {origin: key for key in surviving_ids for origin in everyone[key][0].origins}
    parts = await _missing(profiles, tenant, belongs, everyone)
    everyone |= parts
    if not all(origin in everyone and everyone[origin][0].merged_into == top for origin, top in belongs.items()):
        raise Conflict("customers are being merged at the moment; read again")
    return {**tops, **parts}


async def _missing(
    profiles: Profiles, tenant: str, customer_ids: Collection[str], known: Mapping[str, Versioned]
) -> dict[str, Versioned]:
    missing = [customer_id for customer_id in customer_ids if customer_id not in known]
    return await profiles.origins(tenant, missing) if missing else {}


async def parts_of(profiles: Profiles, tenant: str, customer_ids: Collection[str]) -> dict[str, list[Customer]]:
    """Those customers that exist, by the id that they were asked for: the surviving one, then its other origins."""
    found = await profiles.origins(tenant, list(customer_ids))
    if any(customer.merged_into or customer.origins for customer, _ in found.values()):
        found |= await families(profiles, tenant, {customer.surviving_id for customer, _ in found.values()}, found)
    tops = {key: found[found[key][0].surviving_id][0] for key in customer_ids if key in found}
    return {key: [top, *(found[origin][0] for origin in top.origins)] for key, top in tops.items()}


def customer_of(parts: list[Customer]) -> Customer:
    """The customer that ``parts`` are, the first of which survives."""
    return whole(parts[0], parts[1:]) if len(parts) > 1 else parts[0]
