"""Read customers: one that was merged is answered with the one that is left."""

from collections.abc import Sequence

from services.common.errors import NotFound
from services.profiles.domain.customer import Customer
from services.profiles.handlers.families import customer_of, parts_of
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import EventFilter, Identifier, Profiles, Recorded


class CustomerNotFound(NotFound):
    """No customer has this id or identifier."""


async def get_customer(profiles: Profiles, tenant: str, customer_id: str, identifier: Identifier | None) -> Customer:
    """The customer; ``CustomerNotFound``."""
    if identifier is not None:
        customer_id = (await profiles.owners(tenant, [identifier])).get(identifier, "")
    found = await batch_get_customers(profiles, tenant, [customer_id]) if customer_id else []
    if found:
        return found[0]
    if identifier is not None:
        kind, value = identifier
        raise CustomerNotFound(f"no customer has the {kind} {value}", identifier_type=kind, identifier=value)
    raise not_found(customer_id)


def not_found(customer_id: str) -> CustomerNotFound:
    """Says that there is none of this id."""
    return CustomerNotFound(f"there is no customer {customer_id}", customer_id=customer_id)


async def batch_get_customers(profiles: Profiles, tenant: str, customer_ids: Sequence[str]) -> list[Customer]:
    """Those that exist, each once."""
    found = await profiles.origins(tenant, customer_ids)
    if not any(customer.merged_into or customer.origins for customer, _ in found.values()):
        return [customer for customer, _ in found.values()]
    parts = await retrying(lambda: parts_of(profiles, tenant, customer_ids))
    return list({each[0].customer_id: customer_of(each) for each in parts.values()}.values())


async def list_customers(profiles: Profiles, tenant: str, limit: int, after: str) -> tuple[list[Customer], str]:
    """A page of those that are left, by id, and the token of the next."""
    tops, token = await profiles.page(tenant, limit, after)
    merged = [top.customer_id for top in tops if top.origins]
    parts = await retrying(lambda: parts_of(profiles, tenant, merged)) if merged else {}
    return [customer_of(parts.get(top.customer_id, [top])) for top in tops], token


async def list_events(
    profiles: Profiles, tenant: str, customer_id: str, wanted: EventFilter, limit: int, after: str
) -> tuple[list[Recorded], str]:
    """A page of what the customer did, newest first, and the token of the next; of nobody, nothing."""
    parts = (await retrying(lambda: parts_of(profiles, tenant, [customer_id]))).get(customer_id)
    return await profiles.timeline(tenant, parts, wanted, limit, after) if parts else ([], "")
