"""Erasing a person: the lines at once, what a model remembers with the next training; and telling profiles so."""

from services.common.erasure import Acknowledgements
from services.common.errors import AlreadyExists, Conflict
from services.common.privacy import Removal, Removed
from services.common.store import Store
from services.recommendation.adapters.events import Erased
from services.recommendation.adapters.feedback import ColumnarFeedback
from services.recommendation.adapters.interactions import ColumnarInteractions
from services.recommendation.adapters.memberships import StoredMemberships
from services.recommendation.adapters.models import StoredModels
from services.recommendation.adapters.open_lists import StoredOpenLists


class Forgetting:
    """Removes what is held of a person. From then on the live model treats them as unknown, too."""

    def __init__(
        self,
        store: Store,
        interactions: ColumnarInteractions,
        models: StoredModels,
        memberships: StoredMemberships,
        feedback: ColumnarFeedback,
        lists: StoredOpenLists,
        told: Acknowledgements,
    ) -> None:
        self._store, self._interactions, self._models, self._told = store, interactions, models, told
        self._memberships, self._feedback, self._lists = memberships, feedback, lists

    async def __call__(self, erased: Erased) -> None:
        """Remove, and have it acknowledged; again, it changes nothing."""
        removed = [Removed("purchase", await self._interactions.count_of(erased.tenant, erased.customer_ids))]
        removed.append(
            Removed("recommendation_feedback", await self._feedback.count_of(erased.tenant, erased.customer_ids))
        )
        removed.append(
            Removed("interest", await self._interactions.signal_count_of(erased.tenant, erased.customer_ids))
        )
        pages = await self._lists.of_person(erased.tenant, erased.customer_ids)
        removed.append(Removed("recommendation_list", len(pages)))
        if live := await self._models.live(erased.tenant):
            known = sum(customer_id in live.model.customer_of for customer_id in erased.customer_ids)
            removed.append(Removed("model_history", known, Removal.WITH_NEXT_MODEL))
        removed = [each for each in removed if each.count]
        await self._tell(erased, removed, complete=False)
        await self._interactions.remove(erased.removal, f"{erased.tenant}.{erased.erasure_id}")
        for customer_id in erased.customer_ids:
            await self._memberships.forget(erased.tenant, customer_id)
            await self._lists.forget(erased.tenant, customer_id)
        await self._tell(erased, removed, complete=True)

    async def _tell(self, erased: Erased, removed: list[Removed], *, complete: bool) -> None:
        for last in (False, True):
            write = await self._told.removed(erased.tenant, erased.erasure_id, removed, complete=complete)
            try:
                await self._store.commit([write])
                return
            except (Conflict, AlreadyExists):  # it was being told to profiles at the same moment
                if last:
                    raise
