"""Everything that is kept of a person."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from services.loyalty.ports import PersonalData


async def export_customer_data(
    data: PersonalData, tenant: str, customer_id: str, origins: Sequence[str]
) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
    """Records with their kinds, in pages, of the customer and then of each origin; none of somebody unknown."""
    for each in dict.fromkeys((customer_id, *origins)):
        async for page in data.of(tenant, each):
            yield page
