"""What uplift models need from outside."""

from collections.abc import Mapping
from typing import Any, Protocol

from services.forecasting.domain.uplift import Uplift, UpliftModel
from services.forecasting.ports.fits import Fits


class UpliftModels(Fits[UpliftModel, Uplift], Protocol):
    """The uplift models of all tenants, and what the newest version of each says of customers, and by what."""

    async def keep(self, tenant: str, model_id: str, version: int, learnt: Mapping[str, object]) -> None:
        """Keep what a claimed version learnt, as long as what it says."""
        ...

    async def learnt(self, tenant: str, model_id: str, version: int) -> Mapping[str, Any] | None:
        """What a version learnt; ``None`` if it is not kept any more, or was not by a version of the service."""
        ...
