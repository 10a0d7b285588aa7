"""Find customers by what is known of them: a bounded look through all of a tenant's."""

from collections.abc import AsyncIterator
from typing import Any

from services.profiles.domain.customer import Customer
from services.profiles.domain.customer_filter import CustomerFilter
from services.profiles.handlers.computed_traits import computed_values
from services.profiles.handlers.computing import Computing
from services.profiles.handlers.get_customer import list_customers

SCAN_MAX = 10_000
SCAN_PAGE = 200

Found = tuple[Customer, dict[str, Any]]
"""A customer, and the values of its computed traits."""


async def find_customers(
    computing: Computing, tenant: str, wanted: CustomerFilter, limit: int, after: str
) -> tuple[list[Customer], str]:
    """A page of those that are wanted, by id, and the token of the next; perhaps a short page that has a next one."""
    wanted.check()
    found: list[Customer] = []
    for _ in range(SCAN_MAX // SCAN_PAGE):
        some, token = await _page(computing, tenant, SCAN_PAGE, after)
        places = [place for place, (customer, values) in enumerate(some) if wanted.takes(customer, values)]
        missing = limit - len(found)
        if len(places) > missing:  # the page ends within these: at the last that there is room for
            some, token = await _page(computing, tenant, places[missing - 1] + 1, after)
        found += [customer for customer, values in some if wanted.takes(customer, values)]
        after = token
        if len(found) >= limit or not after:
            break
    return found[:limit], after


async def every_customer(computing: Computing, tenant: str, wanted: CustomerFilter) -> AsyncIterator[list[Found]]:
    """All that are wanted, some at a time."""
    wanted.check()
    after = ""
    while True:
        some, after = await _page(computing, tenant, SCAN_PAGE, after)
        yield [each for each in some if wanted.takes(*each)]
        if not after:
            return


async def _page(computing: Computing, tenant: str, limit: int, after: str) -> tuple[list[Found], str]:
    customers, token = await list_customers(computing.profiles, tenant, limit, after)
    computed = await computed_values(computing, tenant, customers)
    values = [{trait.name: value.value for trait, value in computed.get(each.customer_id, ())} for each in customers]
    return list(zip(customers, values, strict=True)), token
