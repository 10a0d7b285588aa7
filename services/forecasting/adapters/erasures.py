"""Erasing a person: order lines and activities go on under a pseudonym, so that series stay what they were; predictions
and memberships go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.common.erasure import Acknowledgements
from services.common.errors import AlreadyExists, Conflict
from services.common.privacy import Removal, Removed
from services.common.store import Store
from services.forecasting.adapters.activities import ColumnarActivities
from services.forecasting.adapters.customer_models import StoredCustomerModels
from services.forecasting.adapters.lines import ColumnarLines
from services.forecasting.adapters.memberships import ColumnarMemberships
from services.forecasting.adapters.preferences import StoredPreferenceModels
from services.forecasting.adapters.propensities import StoredPropensityModels
from services.forecasting.adapters.treatments import ColumnarTreatments
from services.forecasting.adapters.uplifts import StoredUpliftModels

ATTEMPTS_MAX = 5


class Forgetting(Protocol):
    """What holds something of persons."""

    async def forget(self, tenant: str, customer_ids: Sequence[str], /) -> int:
        """Remove what there is of them, and say how much."""
        ...


@dataclass(frozen=True, slots=True)
class Erasure:
    """Who is to be forgotten."""

    tenant: str
    erasure_id: str
    origin_ids: frozenset[str]
    """The customer and all origins."""
    pseudonym: str


class Erasures:
    """Carries erasures out. Again, one changes nothing."""

    def __init__(
        self,
        store: Store,
        lines: ColumnarLines,
        activities: ColumnarActivities,
        memberships: ColumnarMemberships,
        models: StoredCustomerModels,
        propensities: StoredPropensityModels,
        preferences: StoredPreferenceModels,
        uplifts: StoredUpliftModels,
        treatments: ColumnarTreatments,
        acknowledgements: Acknowledgements,
    ) -> None:
        self._store, self._lines, self._models, self._propensities = store, lines, models, propensities
        self._preferences = preferences
        self._activities, self._memberships = activities, memberships
        self._uplifts, self._treatments, self._acknowledgements = uplifts, treatments, acknowledgements

    async def carry_out(self, erasure: Erasure) -> None:
        """Remove everything of the person, and say how much that was."""
        origins = sorted(erasure.origin_ids)
        counts = [
            Removed("order_line", await self._lines.count(erasure.tenant, origins), Removal.PSEUDONYMISED),
            Removed("event", await self._activities.count(erasure.tenant, origins), Removal.PSEUDONYMISED),
            Removed("membership", await self._memberships.count(erasure.tenant, origins)),
        ]
        found = [it for it in counts if it.count]
        await self._tell(erasure, found, complete=False)
        await self._lines.pseudonymise(erasure.tenant, erasure.erasure_id, origins, erasure.pseudonym)
        held_of: Sequence[tuple[str, Forgetting]] = (
            ("customer_prediction", self._models),
            ("propensity", self._propensities),
            ("category_preferences", self._preferences),
            ("uplift", self._uplifts),
            ("treatment", self._treatments),
        )
        for kind, held in held_of:
            if count := await held.forget(erasure.tenant, origins):
                found.append(Removed(kind, count))
        await self._tell(erasure, found, complete=True)

    async def _tell(self, erasure: Erasure, removed: Sequence[Removed], *, complete: bool) -> None:
        for attempt in range(ATTEMPTS_MAX):
            told = await self._acknowledgements.removed(erasure.tenant, erasure.erasure_id, removed, complete=complete)
            try:
                await self._store.commit([told])
            except (Conflict, AlreadyExists):  # the loop that tells profiles was at it
                if attempt == ATTEMPTS_MAX - 1:
                    raise
            else:
                return
