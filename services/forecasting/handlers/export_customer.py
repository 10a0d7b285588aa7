"""Everything that forecasting holds about a person, a page at a time."""

from collections.abc import AsyncIterator, Sequence

from services.forecasting.domain.customers import Prediction
from services.forecasting.domain.propensity import Propensity
from services.forecasting.ports import BoughtLine, BoughtLines, CustomerModels, PropensityModels

PAGE = 500


async def export_customer(
    lines: BoughtLines,
    models: CustomerModels,
    propensities: PropensityModels,
    tenant: str,
    customer_ids: Sequence[str],
) -> AsyncIterator[Sequence[BoughtLine | Prediction | Propensity]]:
    """Pages of at most 500: what was bought, then what is expected. ``customer_ids``: the customer and all origins."""
    after = 0
    while page := await lines.of_customer(tenant, customer_ids, after, PAGE):
        yield page
        after += len(page)
    for begin in range(0, len(customer_ids), PAGE):
        if expected := await models.predictions(tenant, customer_ids[begin : begin + PAGE]):
            yield expected
    found: list[Propensity] = []
    for begin in range(0, len(customer_ids), PAGE):
        found.extend(await propensities.of_customers(tenant, customer_ids[begin : begin + PAGE]))
    for begin in range(0, len(found), PAGE):
        yield found[begin : begin + PAGE]
