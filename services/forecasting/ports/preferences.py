"""What category preferences need from outside."""

from typing import Protocol

from services.forecasting.domain.preference import CategoryPreferenceModel, CategoryPreferences, Tastes
from services.forecasting.ports.fits import Fits


class CategoryTastes(Protocol):
    """What customers bought of each category, and what they bought then."""

    async def tastes(self, tenant: str, currency: str, horizon_days: int, at: int) -> Tastes:
        """What each customer had bought of the categories known at a moment, and who bought of them after it."""
        ...


class PreferenceModels(Fits[CategoryPreferenceModel, CategoryPreferences], Protocol):
    """The models of category preferences, each tenant's under one name."""

    async def page_of(
        self, tenant: str, version: int, category: str, limit: int, after: str
    ) -> tuple[list[CategoryPreferences], str]:
        """As ``page``, of the customers whose likeliest category this is; empty for all."""
        ...
