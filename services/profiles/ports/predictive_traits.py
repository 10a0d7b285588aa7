"""What predictive traits are read from."""

from collections.abc import Sequence
from typing import Protocol

from services.profiles.domain.predictive_trait import PredictiveTraits


class PredictiveBook(Protocol):
    """What is expected of the customers of all tenants."""

    async def of(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, PredictiveTraits]:
        """Of those of whom something is expected, by id."""
        ...
