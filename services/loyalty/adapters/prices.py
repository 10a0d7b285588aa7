"""The port ``Prices`` over the document store."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from services.common.feed import CURSORS
from services.common.store import Delete, Insert, Put, Query, Range, Replace, Store, Write
from services.loyalty.adapters.price_follower import ALL, OF_PERSON, PAGE, PRICE_FOLLOWER, purposes_of, remove
from services.loyalty.adapters.pricing_records import EPOCH_ID, PRICE_EPOCHS, PRICING_TENANTS
from services.loyalty.adapters.records import RECORDS, read_record, record_body
from services.loyalty.domain.customer import SEGMENTS
from services.loyalty.domain.merged import MERGED_CUSTOMERS
from services.loyalty.domain.people import MERGED_NAMES
from services.loyalty.domain.personal_price import PERSONAL_DISCOUNTS, PERSONAL_PRICES, PersonalPrice
from services.loyalty.domain.price_history import PRICED_ORDERS, WEEK_MICROS
from services.loyalty.domain.price_model import (
    MODEL_ID,
    PRICE_CONSENTS,
    PRICE_EVIDENCE,
    PRICE_MODELS,
    PriceConsent,
    PriceEvidence,
    PriceModel,
    PriceStanding,
    consents,
    pooled_segment,
)
from services.loyalty.domain.price_sensitivity import Purchases
from services.loyalty.domain.pricing_policy import POLICY, PRICING_POLICIES, PricingPolicy
from services.loyalty.domain.records import Kind
from services.loyalty.ports.pricing import Crowd, History

T = TypeVar("T")

LINES_MAX = 5_000_000
"""Lines that are learnt from at once: some 2 GB."""
MERGES_MAX = 1000
"""How many merges, each into the next, are followed."""


class StoredPrices:
    """Reads and keeps what personal prices are made of."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def policy(self, tenant: str) -> PricingPolicy:
        return await self._get(tenant, PRICING_POLICIES, POLICY.id) or PricingPolicy()

    async def enlist(self, tenant: str, policy: PricingPolicy) -> None:
        known = await self._store.get(ALL, PRICING_TENANTS, tenant)
        if policy.enabled:
            if known is None or known.body["generation"] != policy.generation:
                body = {"purpose": policy.consent_purpose, "generation": policy.generation}
                # With another version of the cursor, whoever follows reads both again before anything else is kept.
                await self._store.commit(
                    [Put(ALL, PRICING_TENANTS, tenant, body), Put(ALL, CURSORS, PRICE_FOLLOWER, {"cursor": ""})]
                )
            return
        cursor = await self._store.get(ALL, CURSORS, PRICE_FOLLOWER)
        moved: list[Write] = [Put(ALL, CURSORS, PRICE_FOLLOWER, cursor.body)] if cursor else []
        await self._store.commit(
            [Delete(ALL, PRICING_TENANTS, tenant), *moved, Put(tenant, PRICE_EPOCHS, EPOCH_ID, {})]
        )
        for kind in (*OF_PERSON, PRICE_MODELS):
            await remove(self._store, tenant, RECORDS[kind.name], Query(limit=PAGE))

    async def tenants(self) -> list[str]:
        return sorted(await purposes_of(self._store))

    async def order_count(self, tenant: str) -> int:
        return await self._store.count(tenant, RECORDS[PRICED_ORDERS.name])

    async def model(self, tenant: str) -> PriceModel | None:
        return await self._get(tenant, PRICE_MODELS, MODEL_ID)

    async def standing(self, tenant: str, customer_id: str, segment_ids: frozenset[str]) -> PriceStanding:
        policy = await self.policy(tenant)
        if not policy.enabled:
            return PriceStanding(policy, None, (), (), segment_ids)
        person, origins = await self._person(tenant, customer_id)
        model = await self.model(tenant)
        said = await self._get_many(tenant, PRICE_CONSENTS, origins)
        ids = [_evidence_id(model.version, each) for each in origins] if model else []
        told = await self._get(tenant, SEGMENTS, person)
        return PriceStanding(
            policy,
            model,
            list(said.values()),
            list((await self._get_many(tenant, PRICE_EVIDENCE, ids)).values()),
            segment_ids | frozenset(told.segment_ids if told else ()),
        )

    async def history(self, tenant: str, since: int) -> History:
        number: dict[str, int] = {}
        items: dict[str, int] = {}
        rows: list[tuple[int, int, int, float]] = []
        after = ""
        while len(rows) < LINES_MAX:
            query = Query(
                range=Range("order_time", at_least=since),
                order_by="order_time",
                descending=True,
                limit=1000,
                after=after,
            )
            found, after = await self._page(tenant, PRICED_ORDERS, query)
            for order in found:
                if order.customer_id:
                    owner, at = number.setdefault(order.customer_id, len(number)), order.order_time // WEEK_MICROS
                    rows += [
                        (owner, items.setdefault(line.item_id, len(items)), at, line.amount_minor / line.quantity)
                        for line in order.bought
                    ]
            if not after:
                break
        table = np.array(rows[:LINES_MAX], dtype=np.float64).reshape(-1, 4)
        person, item, week = (table[:, column].astype(np.int64) for column in range(3))
        return History(Purchases(person, item, week, table[:, 3], len(number)), list(number))

    async def crowd(self, tenant: str, policy: PricingPolicy, customer_ids: Sequence[str], now: int) -> Crowd:
        epoch = await self._epoch(tenant)
        merged = {each.customer_id: each.into_id async for each in self._all(tenant, MERGED_CUSTOMERS)}
        said: dict[str, list[PriceConsent]] = {}
        async for consent in self._all(tenant, PRICE_CONSENTS):
            said.setdefault(_end(merged, consent.customer_id), []).append(consent)
        consenting = frozenset(person for person, told in said.items() if consents(told, policy.consent_purpose, now))
        person_of = {each: _end(merged, each) for each in customer_ids}
        persons = sorted(consenting & set(person_of.values()))
        segments = {}
        for start in range(0, len(persons), PAGE):
            found = await self._get_many(tenant, SEGMENTS, persons[start : start + PAGE])
            for person, told_segments in found.items():
                segments[person] = pooled_segment(frozenset(told_segments.segment_ids), policy)
        return Crowd(person_of, consenting, segments, epoch)

    async def keep(self, tenant: str, epoch: int, model: PriceModel, evidence: Sequence[PriceEvidence]) -> None:
        collection = RECORDS[PRICE_EVIDENCE.name]
        # What an attempt that failed has left under this version.
        await remove(self._store, tenant, collection, Query(where={"version": model.version}, limit=PAGE))
        for start in range(0, len(evidence), PAGE):
            epoch += 1
            kept = [
                Insert(tenant, collection, _evidence_id(each.version, each.customer_id), record_body(each))
                for each in evidence[start : start + PAGE]
            ]
            await self._store.commit([*kept, Replace(tenant, PRICE_EPOCHS, EPOCH_ID, {}, epoch - 1)])
        document = await self._store.get(tenant, RECORDS[PRICE_MODELS.name], MODEL_ID)
        body = record_body(model)
        put: Write = Insert(tenant, RECORDS[PRICE_MODELS.name], MODEL_ID, body)
        if document:
            put = Replace(tenant, RECORDS[PRICE_MODELS.name], MODEL_ID, body, document.version)
        await self._store.commit([put, Replace(tenant, PRICE_EPOCHS, EPOCH_ID, {}, epoch)])
        # Those of the version before stay for whoever is just reading them.
        for version in range(max(1, model.version - 3), model.version - 1):
            await remove(self._store, tenant, collection, Query(where={"version": version}, limit=PAGE))

    async def forget_orders(self, tenant: str, before: int) -> int:
        query = Query(range=Range("order_time", at_least=1, below=before), limit=PAGE)
        return await remove(self._store, tenant, RECORDS[PRICED_ORDERS.name], query)

    async def forget_quoted(self, tenant: str, before: int, now: int) -> int:
        quoted = Query(range=Range("quote_time", below=before), limit=PAGE)
        expired = Query(range=Range("expire_time", below=now), limit=PAGE)
        removed = await remove(self._store, tenant, RECORDS[PERSONAL_PRICES.name], quoted)
        return removed + await remove(self._store, tenant, RECORDS[PERSONAL_DISCOUNTS.name], expired)

    async def quoted_to(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[PersonalPrice], str]:
        return await self._quoted({"customer_id": customer_id}, tenant, limit, after)

    async def quoted_by(self, tenant: str, offer_id: str, limit: int, after: str) -> tuple[list[PersonalPrice], str]:
        return await self._quoted({"offer_id": offer_id}, tenant, limit, after)

    async def quoted(self, tenant: str, offer_id: str, start: int, end: int) -> AsyncIterator[list[PersonalPrice]]:
        where = {"offer_id": offer_id} if offer_id else {}
        period = Range("quote_time", at_least=start, below=end)
        after = ""
        while True:
            query = Query(where=where, range=period, order_by="quote_time", limit=1000, after=after)
            found, after = await self._page(tenant, PERSONAL_PRICES, query)
            yield found
            if not after:
                return

    async def _quoted(
        self, where: Mapping[str, str], tenant: str, limit: int, after: str
    ) -> tuple[list[PersonalPrice], str]:
        query = Query(where=where, order_by="quote_time", descending=True, limit=limit, after=after)
        return await self._page(tenant, PERSONAL_PRICES, query)

    async def _person(self, tenant: str, customer_id: str) -> tuple[str, list[str]]:
        """Who the customer is by now, and all customer ids that are theirs."""
        person = customer_id
        for _ in range(MERGES_MAX):
            merged = await self._get(tenant, MERGED_CUSTOMERS, person)
            if merged is None:
                break
            person = merged.into_id
        names = await self._get(tenant, MERGED_NAMES, person)
        return person, [person, *(names.names if names else ())]

    async def _epoch(self, tenant: str) -> int:
        document = await self._store.get(tenant, PRICE_EPOCHS, EPOCH_ID)
        if document is None:
            await self._store.commit([Put(tenant, PRICE_EPOCHS, EPOCH_ID, {})])
            document = await self._store.get(tenant, PRICE_EPOCHS, EPOCH_ID)
        return document.version if document else 0

    async def _get(self, tenant: str, kind: Kind[T], name: str) -> T | None:
        document = await self._store.get(tenant, RECORDS[kind.name], name)
        return read_record(kind, document.body) if document else None

    async def _get_many(self, tenant: str, kind: Kind[T], names: Iterable[str]) -> dict[str, T]:
        found = await self._store.get_many(tenant, RECORDS[kind.name], list(names))
        return {name: read_record(kind, document.body) for name, document in found.items()}

    async def _page(self, tenant: str, kind: Kind[T], query: Query) -> tuple[list[T], str]:
        page = await self._store.find(tenant, RECORDS[kind.name], query)
        return [read_record(kind, document.body) for document in page.documents], page.next_cursor

    async def _all(self, tenant: str, kind: Kind[T]) -> AsyncIterator[T]:
        after = ""
        while True:
            found, after = await self._page(tenant, kind, Query(limit=1000, after=after))
            for each in found:
                yield each
            if not after:
                return


def _evidence_id(version: int, customer_id: str) -> str:
    return f"{version}/{customer_id}"


def _end(merged: Mapping[str, Any], customer_id: str) -> str:
    """Who a customer is by now."""
    for _ in range(MERGES_MAX):
        if customer_id not in merged:
            break
        customer_id = merged[customer_id]
    return customer_id
