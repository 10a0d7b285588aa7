"""Erasing a person: rows, memberships, entries of feeds and lists; and telling profiles how much that was."""

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager
from functools import reduce
from operator import or_

import pyarrow as pa

from services.common.columnar import Columnar, Remove, Table, of_tenant
from services.common.erasure import Acknowledgements
from services.common.privacy import Removed
from services.common.store import Collection as Documents
from services.common.store import Delete, Query, Store
from services.segmentation.adapters.events import Erased
from services.segmentation.adapters.group_tables import GROUP_MEMBERS
from services.segmentation.adapters.lists import ENTRIES, LIST_MEMBERS
from services.segmentation.adapters.memberships import CHANGES, CUSTOMERS, MEMBERS
from services.segmentation.adapters.messages import MESSAGES
from services.segmentation.adapters.predicted_tables import (
    CATEGORY_PREFERENCES,
    PREDICTIONS,
    PROPENSITIES,
    UPLIFTS,
)
from services.segmentation.adapters.tables import (
    CLUSTERED,
    CONSENTS,
    EVENTS,
    LIST_ENTRIES,
    RESEMBLING,
    TRAITS,
)

KINDS: dict[Table, str] = {
    EVENTS: "event_copy",
    TRAITS: "trait_copy",
    CONSENTS: "consent_copy",
    LIST_ENTRIES: "list_entry_copy",
    CLUSTERED: "cluster_assignment",
    RESEMBLING: "lookalike",
    PREDICTIONS: "prediction_copy",
    PROPENSITIES: "propensity_copy",
    CATEGORY_PREFERENCES: "category_preference_copy",
    UPLIFTS: "uplift_copy",
    GROUP_MEMBERS: "group_membership_copy",
    MESSAGES: "message_copy",
}
READ_AT_ONCE = 500


class Forgetting:
    """Removes everything of a person. ``standstill`` is entered meanwhile: within, nobody is evaluated;
    ``forget`` hears whose rows are gone."""

    def __init__(
        self,
        store: Store,
        columnar: Columnar,
        acknowledgements: Acknowledgements,
        standstill: Callable[[], AbstractAsyncContextManager[None]],
        forget: Callable[[str, Collection[str]], None],
    ) -> None:
        self._store, self._columnar, self._forget = store, columnar, forget
        self._acknowledgements, self._standstill = acknowledgements, standstill

    async def __call__(self, erased: Erased) -> None:
        """Remove, and have it acknowledged; again, it changes nothing."""
        async with self._standstill():
            doomed = await self._doomed(erased)
            removed = [Removed(kind, count) for kind, count in (await self._counted(erased)).items() if count]
            removed += [Removed(kind, len(found)) for kind, found in doomed.items() if found]
            await self._tell(erased, removed, complete=False)
            await self._columnar.append({}, f"erasure {erased.tenant} {erased.erasure_id}", "done", _removals(erased))
            self._forget(erased.tenant, erased.customer_ids)
            writes = [write for found in doomed.values() for write in found]
            for start in range(0, len(writes), READ_AT_ONCE):
                await self._store.commit(writes[start : start + READ_AT_ONCE])
            await self._tell(erased, removed, complete=True)

    async def _tell(self, erased: Erased, removed: Iterable[Removed], *, complete: bool) -> None:
        told = await self._acknowledgements.removed(erased.tenant, erased.erasure_id, list(removed), complete=complete)
        await self._store.commit([told])

    async def _counted(self, erased: Erased) -> dict[str, int]:
        counts = {}
        for table, kind in KINDS.items():
            rows = of_tenant(self._columnar.table(table), erased.tenant)
            ids = sorted(erased.customer_ids)
            theirs = rows.filter(reduce(or_, [rows[name].isin(ids) for name in _owners(table)]))
            counts[kind] = int(
                (await self._columnar.execute(theirs.aggregate(count=theirs.count())))["count"][0].as_py()
            )
        return counts

    async def _doomed(self, erased: Erased) -> dict[str, list[Delete]]:
        """The documents to delete, by kind."""
        tenant, ids = erased.tenant, sorted(erased.customer_ids)
        standings = await self._store.get_many(tenant, CUSTOMERS, ids)
        doomed = {
            "membership_standing": [Delete(tenant, CUSTOMERS, who) for who in standings],
            "segment_membership": [
                Delete(tenant, MEMBERS, f"{segment_id}:{who}")
                for who, document in standings.items()
                for segment_id in document.body["segments"]
            ],
        }
        for collection, kind in (
            (CHANGES, "membership_change"),
            (LIST_MEMBERS, "list_membership"),
            (ENTRIES, "list_entry"),
        ):
            doomed[kind] = [each for who in ids for each in await self._found(tenant, collection, who)]
        return doomed

    async def _found(self, tenant: str, collection: Documents, customer_id: str) -> list[Delete]:
        found: list[Delete] = []
        after = ""
        while True:
            query = Query({"customer_id": customer_id}, limit=READ_AT_ONCE, after=after)
            page = await self._store.find(tenant, collection, query)
            found += [Delete(tenant, collection, document.id) for document in page.documents]
            after = page.next_cursor
            if not after:
                return found


def _removals(erased: Erased) -> list[Remove]:
    ids = sorted(erased.customer_ids)
    return [
        Remove(table, pa.table({"tenant": [erased.tenant] * len(ids), name: ids}))
        for table in KINDS
        for name in _owners(table)
    ]


def _owners(table: Table) -> list[str]:
    """The columns that say whose a row is."""
    return [name for name in ("customer_id", "origin_id") if name in table.schema.names]
