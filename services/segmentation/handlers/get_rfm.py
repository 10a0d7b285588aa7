"""Read the RFM of one customer."""

from services.segmentation.domain.rfm import Cuts, Rfm, RfmNotFound, RfmTable
from services.segmentation.ports import Analytics


async def get_rfm(
    analytics: Analytics, tenant: str, customer_id: str, currency: str, at: int | None, cuts: Cuts | None
) -> tuple[RfmTable, Rfm]:
    """The customer's figures and the table that they are from; ``RfmNotFound``."""
    table = await analytics.rfm(tenant, currency, at, cuts)
    if customer_id not in table.customers:
        raise RfmNotFound(customer_id)
    return table, table.customers[customer_id]
