"""How what a person did stays without the person: the events are written again, as somebody's whom nothing leads to."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.common.privacy import Removal, Removed
from services.common.store import Delete, Document, Insert, Query, Replace, Store, Write
from services.profiles.adapters.customer_keys import CustomerKeys, Keys
from services.profiles.adapters.keys import TenantKey, TenantKeys
from services.profiles.adapters.sealed import CUSTOMERS, customer_body, customer_of, recorded, sealed_event
from services.profiles.adapters.store import EVENTS
from services.profiles.domain.anonymising import KEPT_TYPES, anonymous
from services.profiles.domain.customer import Customer
from services.profiles.ports import Recorded

CHUNK_MAX = 200


@dataclass(frozen=True, slots=True)
class Anonymising:
    """What anonymising writes: each method gives the writes of one commit, which moves what it concerns once."""

    store: Store
    keys: TenantKeys
    customer_keys: CustomerKeys

    async def figures(self, tenant: str, pseudonym: str, customer: Customer) -> list[Write]:
        """Add what a customer came to, but for the count of events, to whom the pseudonym stands for."""
        nobody, version = await self._nobody(tenant, pseudonym)
        theirs, ours = customer.lifetime, nobody.lifetime
        ours.order_count += theirs.order_count
        for currency, amount in theirs.spend_minor.items():
            ours.spend_minor[currency] = ours.spend_minor.get(currency, 0) + amount
        if theirs.order_count:
            ours.first_order_time = min(ours.first_order_time or theirs.first_order_time, theirs.first_order_time)
            ours.last_order_time = max(ours.last_order_time, theirs.last_order_time)
        nobody.first_seen_time = min(nobody.first_seen_time or customer.first_seen_time, customer.first_seen_time)
        nobody.last_seen_time = max(nobody.last_seen_time, customer.last_seen_time)
        return (await self._written(tenant, nobody, version))[0]

    async def events(self, tenant: str, pseudonym: str, origin: str) -> tuple[list[Write], list[Removed]]:
        """Move some of the events of an origin; nothing once there are none left."""
        page = await self.store.find(tenant, EVENTS, Query(where={"customer_id": origin}, limit=CHUNK_MAX))
        if not page.documents:
            return [], []
        keys = await self.customer_keys.read(tenant, [origin])
        kept = self._kept(tenant, page.documents, keys)
        nobody, version = await self._nobody(tenant, pseudonym)
        nobody.lifetime.event_count += len(kept)
        writes, own = await self._written(tenant, nobody, version)
        tenant_key = await self.keys.get(tenant)
        writes += (_again(tenant, tenant_key, pseudonym, own, event) for event in kept)
        writes += (Delete(tenant, EVENTS, document.id) for document in page.documents)
        gone = len(page.documents) - len(kept)
        return writes, [Removed("event", len(kept), Removal.PSEUDONYMISED), Removed("event", gone)]

    @staticmethod
    def _kept(tenant: str, documents: Sequence[Document], keys: Keys) -> list[Recorded]:
        found = (recorded(tenant, each.id, each.body, keys) for each in documents if each.body["type"] in KEPT_TYPES)
        return [event for event in found if event is not None]

    async def _nobody(self, tenant: str, pseudonym: str) -> tuple[Customer, int | None]:
        document = await self.store.get(tenant, CUSTOMERS, pseudonym)
        if document is None:
            return Customer(pseudonym), None
        keys = await self.customer_keys.read(tenant, [pseudonym])
        return customer_of(tenant, document, keys) or Customer(pseudonym), document.version

    async def _written(self, tenant: str, nobody: Customer, version: int | None) -> tuple[list[Write], bytes]:
        key = nobody.customer_id
        keys, made = await self.customer_keys.for_writing(tenant, [key], [] if version is None else [key])
        body = customer_body(tenant, nobody, keys[key])
        if version is None:
            return [*await self.customer_keys.writes(tenant, made), Insert(tenant, CUSTOMERS, key, body)], keys[key]
        return [Replace(tenant, CUSTOMERS, key, body, version)], keys[key]


def _again(tenant: str, tenant_key: TenantKey, pseudonym: str, key: bytes, event: Recorded) -> Insert:
    hashed = partial(_hashed, tenant_key, pseudonym)
    message_id = hashed("message", event.message_id)
    body: dict[str, Any] = {
        "customer_id": pseudonym,
        "name": event.name,
        "type": event.type,
        "time": event.event_time,
        "recorded": event.record_time,
        "anonymised": True,
        "sealed": sealed_event(tenant, message_id, anonymous(event.name, event.json, hashed), key),
    }
    return Insert(tenant, EVENTS, message_id, body)


def _hashed(tenant_key: TenantKey, pseudonym: str, kind: str, value: str) -> str:
    """What nobody finds who has the id but not the key."""
    place = f"anonymous\0{pseudonym}\0{kind}\0{value}".encode()
    return f"an_{hmac.digest(tenant_key.hashing, place, 'sha256').hex()[:32]}"
