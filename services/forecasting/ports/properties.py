"""What use cases need of the properties of events."""

from collections.abc import Sequence
from typing import Protocol

from services.forecasting.domain.event_properties import Described
from services.forecasting.ports import Moments


class GoalMoments(Moments, Protocol):
    """What was known of customers in the past, and what is known of the properties that goals ask for."""

    async def described(self, tenant: str, event_name: str, paths: Sequence[str]) -> Described:
        """What is known of these properties of the events of a name."""
        ...

    async def property_names(self, tenant: str, event_name: str, limit: int) -> list[str]:
        """The properties that are known of most events of a name, the most first."""
        ...
