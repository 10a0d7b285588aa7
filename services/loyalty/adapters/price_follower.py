"""Keeping what prices are learnt from: a follower of profiles beside that of the ledger, which does nothing for it.

It keeps what tenants tell who learn prices, and reads from the beginning again when one begins to: everything that it
does comes to the same when it is done twice. The cursor is in the commit of its effect, with its version.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from services.common.feed import CURSORS, follow
from services.common.store import Collection, Delete, Insert, Put, Query, Replace, Store, Write
from services.loyalty.adapters.clients import PriceStream
from services.loyalty.adapters.pricing_records import EPOCH_ID, PRICE_EPOCHS, PRICING_TENANTS
from services.loyalty.adapters.records import RECORDS, read_record, record_body
from services.loyalty.domain.personal_price import PERSONAL_DISCOUNTS
from services.loyalty.domain.price_history import (
    PRICED_ORDERS,
    OrderPriced,
    OrderReturned,
    PersonForgotten,
    PriceBatch,
    PricePurposes,
    PriceTold,
)
from services.loyalty.domain.price_model import PRICE_CONSENTS, PRICE_EVIDENCE, PriceConsent
from services.loyalty.domain.records import Kind

T = TypeVar("T")
Fold = Callable[[T | None], T]
"""What a telling makes of what was known."""

PRICE_FOLLOWER = "loyalty.prices"
ALL = "*"
TENANTS_MAX = 10_000
PAGE = 500
WAIT_SECONDS = 1.0
"""How often it looks whether anybody learns prices."""
OF_PERSON = (PRICED_ORDERS, PRICE_EVIDENCE, PRICE_CONSENTS, PERSONAL_DISCOUNTS)


class PriceFollower:
    """Reads profiles' feed for ever, once anybody learns prices."""

    def __init__(self, store: Store, stream: PriceStream) -> None:
        self._store, self._stream = store, stream
        self._purposes: PricePurposes = {}
        self._version: int | None = None

    async def run(self) -> None:
        """Follow for ever, through failures."""
        await self._wait()
        await follow(PRICE_FOLLOWER, self.load_cursor, self._stream, self.apply)

    async def _wait(self) -> None:
        while True:
            if await purposes_of(self._store):
                return
            await asyncio.sleep(WAIT_SECONDS)

    async def apply(self, batch: PriceBatch) -> None:
        """Keep what a batch tells; ``Conflict`` if another process was faster, or somebody began to learn prices."""
        waiting: list[tuple[str, PriceTold]] = []
        for tenant, told in batch.told:
            if tenant not in self._purposes:
                continue
            if isinstance(told, PersonForgotten):
                await self._keep(waiting, self._moved_to(None))
                waiting = []
                await self._forget(tenant, told.customer_ids)
            else:
                waiting.append((tenant, told))
        await self._keep(waiting, self._moved_to(batch.cursor))

    async def _keep(self, told: Sequence[tuple[str, PriceTold]], moved: Write | None) -> None:
        draft = _Draft(self._store, self._purposes)
        for tenant in dict.fromkeys(tenant for tenant, _ in told):
            await draft.apply(tenant, [each for owner, each in told if owner == tenant])
        writes = [*draft.writes, *([moved] if moved else [])]
        if writes:
            await self._store.commit(writes)
        if moved:
            self._version = (self._version or 0) + 1

    async def _forget(self, tenant: str, customer_ids: Iterable[str]) -> None:
        """First the epoch: what is learnt at the moment of the person is not kept after it."""
        await self._store.commit([Put(tenant, PRICE_EPOCHS, EPOCH_ID, {})])
        for customer_id in customer_ids:
            for kind in OF_PERSON:
                await remove(self._store, tenant, RECORDS[kind.name], Query(where={"customer_id": customer_id}))

    async def load_cursor(self) -> str:
        """Where it stands, and who learns prices."""
        self._purposes = await purposes_of(self._store)
        document = await self._store.get(ALL, CURSORS, PRICE_FOLLOWER)
        self._version = document.version if document else None
        return str(document.body["cursor"]) if document else ""

    def _moved_to(self, cursor: str | None) -> Write | None:
        if cursor is None:
            return None
        body = {"cursor": cursor}
        if self._version is None:
            return Insert(ALL, CURSORS, PRICE_FOLLOWER, body)
        return Replace(ALL, CURSORS, PRICE_FOLLOWER, body, self._version)


@dataclass(slots=True)
class _Draft:
    """What a batch makes of the documents that it is about."""

    store: Store
    purposes: PricePurposes
    writes: list[Write] = field(default_factory=list)

    async def apply(self, tenant: str, told: Sequence[PriceTold]) -> None:
        orders = [each for each in told if isinstance(each, (OrderPriced, OrderReturned))]
        said = [each for each in told if isinstance(each, PriceConsent) and each.purpose == self.purposes[tenant]]
        await self._fold(tenant, PRICED_ORDERS, [(each.order_id, each.applied) for each in orders])
        heard = await self._fold(tenant, PRICE_CONSENTS, [(each.customer_id, each.after) for each in said])
        # What holds by now: a withdrawal that is read again, and was taken back long ago, removes nothing.
        if withdrawn := [customer_id for customer_id, consent in heard.items() if not consent.granted]:
            self.writes.append(Put(tenant, PRICE_EPOCHS, EPOCH_ID, {}))
            for customer_id in withdrawn:
                query = Query(where={"customer_id": customer_id}, limit=PAGE)
                page = await self.store.find(tenant, RECORDS[PRICE_EVIDENCE.name], query)
                self.writes += [Delete(tenant, RECORDS[PRICE_EVIDENCE.name], each.id) for each in page.documents]

    async def _fold(self, tenant: str, kind: Kind[T], changes: Sequence[tuple[str, Fold[T]]]) -> dict[str, T]:
        """Each change makes of what is kept under an id what it says; what is another thing than before."""
        collection = RECORDS[kind.name]
        found = await self.store.get_many(tenant, collection, list(dict.fromkeys(key for key, _ in changes)))
        before = {key: read_record(kind, document.body) for key, document in found.items()}
        after = dict(before)
        for key, change in changes:
            after[key] = change(after.get(key))
        changed = {key: record for key, record in after.items() if record != before.get(key)}
        for key, record in changed.items():
            body, document = record_body(record), found.get(key)
            self.writes.append(
                Replace(tenant, collection, key, body, document.version)
                if document
                else Insert(tenant, collection, key, body)
            )
        return changed


async def purposes_of(store: Store) -> dict[str, str]:
    """The purpose of consent of each tenant that learns prices."""
    page = await store.find(ALL, PRICING_TENANTS, Query(limit=TENANTS_MAX))
    return {document.id: str(document.body["purpose"]) for document in page.documents}


async def remove(store: Store, tenant: str, collection: Collection, query: Query) -> int:
    """Delete everything that matches, in bounded commits; how much that was."""
    removed = 0
    while found := (await store.find(tenant, collection, query)).documents:
        await store.commit([Delete(tenant, collection, each.id) for each in found])
        removed += len(found)
    return removed
