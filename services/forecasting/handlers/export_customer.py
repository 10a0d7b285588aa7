"""Everything that forecasting holds about a person, a page at a time."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeAlias

from services.forecasting.domain.activities import BoughtLine, Seen, Transition
from services.forecasting.domain.customers import Prediction
from services.forecasting.domain.preference import CategoryPreferences
from services.forecasting.domain.propensity import Propensity
from services.forecasting.domain.uplift import Treatment, Uplift
from services.forecasting.ports import (
    Activities,
    BoughtLines,
    CustomerModels,
    Memberships,
    PropensityModels,
    Treatments,
)
from services.forecasting.ports.preferences import PreferenceModels
from services.forecasting.ports.uplifts import UpliftModels

PAGE = 500
Held: TypeAlias = (
    BoughtLine | Seen | Transition | Prediction | Propensity | CategoryPreferences | Uplift | tuple[str, Treatment]
)
"""A record of a person; a treatment with its experiment."""


async def export_customer(
    lines: BoughtLines,
    models: CustomerModels,
    propensities: PropensityModels,
    preferences: PreferenceModels,
    uplifts: UpliftModels,
    treatments: Treatments,
    activities: Activities,
    memberships: Memberships,
    tenant: str,
    customer_ids: Sequence[str],
) -> AsyncIterator[Sequence[Held]]:
    """Pages of at most 500: what was bought and done, then what is expected. ``customer_ids``: the customer and all
    origins."""
    for kept in (lines, activities, memberships):
        after = 0
        while page := await kept.of_customer(tenant, customer_ids, after, PAGE):
            yield page
            after += len(page)
    for begin in range(0, len(customer_ids), PAGE):
        if expected := await models.predictions(tenant, customer_ids[begin : begin + PAGE]):
            yield expected
    found: list[Held] = []
    for begin in range(0, len(customer_ids), PAGE):
        ids = customer_ids[begin : begin + PAGE]
        found.extend(await propensities.of_customers(tenant, ids))
        found.extend(await preferences.of_customers(tenant, ids))
        found.extend(await uplifts.of_customers(tenant, ids))
        found.extend(await treatments.of_customer(tenant, ids))
    found.sort(key=lambda it: type(it).__name__)  # those of a kind together
    for begin in range(0, len(found), PAGE):
        yield found[begin : begin + PAGE]
