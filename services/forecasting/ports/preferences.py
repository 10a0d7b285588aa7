"""What category preferences need from outside."""

from collections.abc import Sequence
from typing import Protocol

from services.forecasting.domain.preference import CategoryPreferenceModel, CategoryPreferences, Tastes
from services.forecasting.ports.fits import Fits


class CategoryTastes(Protocol):
    """What customers bought of each category, and what they bought then."""

    async def tastes(
        self,
        tenant: str,
        currency: str,
        horizon_days: int,
        at: int,
        names: tuple[str, ...] | None = None,
        customer_ids: Sequence[str] | None = None,
    ) -> Tastes:
        """What each customer (or each of these) had bought of the categories known at a moment (or of those of
        ``names``), and who bought of them after it."""
        ...


class PreferenceModels(Fits[CategoryPreferenceModel, CategoryPreferences], Protocol):
    """The models of category preferences, each tenant's under one name."""

    async def page_of(
        self, tenant: str, version: int, category: str, limit: int, after: str
    ) -> tuple[list[CategoryPreferences], str]:
        """As ``page``, of the customers whose likeliest category this is; empty for all."""
        ...
