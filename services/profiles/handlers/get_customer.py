"""Read one customer, by id or by an identifier."""

from services.common.errors import NotFound
from services.profiles.domain.customer import Customer
from services.profiles.ports import Identifier, Profiles


class CustomerNotFound(NotFound):
    """No customer has this id or identifier."""


async def get_customer(profiles: Profiles, tenant: str, customer_id: str, identifier: Identifier | None) -> Customer:
    """The customer; ``CustomerNotFound``."""
    if identifier is not None:
        customer_id = (await profiles.owners(tenant, [identifier])).get(identifier, "")
    found = await profiles.customers(tenant, [customer_id]) if customer_id else {}
    if customer_id not in found:
        if identifier is not None:
            kind, value = identifier
            raise CustomerNotFound(f"no customer has the {kind} {value}", identifier_type=kind, identifier=value)
        raise CustomerNotFound(f"there is no customer {customer_id}", customer_id=customer_id)
    return found[customer_id][0]
