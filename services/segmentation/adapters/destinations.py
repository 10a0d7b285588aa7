"""Destinations as documents: what they are, how far they were served, and what they were sent."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from enum import IntEnum
from typing import Any

from cryptography.exceptions import InvalidTag

from services.common.errors import DataLoss
from services.common.idempotency import remember, replayed
from services.common.sealing import MasterKey, MasterKeyUnusable, seal, unseal
from services.common.store import Collection, Delete, Index, Insert, Put, Query, Replace, Store, Write
from services.common.store.port import Body
from services.segmentation.adapters.store import TENANTS
from services.segmentation.domain.delivery import Delivery, DeliveryState, Progress, Run
from services.segmentation.domain.destination import (
    AudiencePush,
    Content,
    Destination,
    Format,
    State,
    TransitionPush,
)
from services.segmentation.domain.member_column import MemberColumn, MemberHash
from services.segmentation.domain.object_push import Contents, Encryption, FileForm, ObjectPush
from services.segmentation.domain.schedule import Schedule
from services.segmentation.ports.request import Request

DESTINATIONS = Collection("destinations")
PROGRESS = Collection("destination_progress")
DELIVERIES = Collection("deliveries", (Index(("destination_id", "created")),))
COLLECTIONS = (DESTINATIONS, PROGRESS, DELIVERIES)
KEPT_MAX, SWEEP_EVERY = 1000, 100
READ_AT_ONCE = 500


class DestinationSecretUnreadable(DataLoss):
    """A secret was sealed with a master key that is not given any more."""


class Secrets:
    """Seals the secrets of destinations with the master keys, the one in use first."""

    def __init__(self, master: Sequence[MasterKey]) -> None:
        self._master = master

    def seal(self, secret: bytes, place: str) -> Body:
        """What is stored; ``MasterKeyUnusable`` without a key."""
        if not self._master:
            raise MasterKeyUnusable(
                "destinations have secrets: SEGMENTATION_MASTER_KEYS is needed where STORE_URL is set"
            )
        in_use = self._master[0]
        return {"master": in_use.key_id, "sealed": seal(in_use.key, secret, place.encode())}

    def unseal(self, stored: Body, place: str) -> bytes:
        """What was sealed; ``DestinationSecretUnreadable``."""
        key = next((each.key for each in self._master if each.key_id == stored["master"]), None)
        try:
            if key is None:
                raise InvalidTag
            return unseal(key, stored["sealed"], place.encode())
        except InvalidTag as error:
            text = f"a secret was sealed with master key {stored['master']}, which is not given"
            raise DestinationSecretUnreadable(text, master_key=stored["master"]) from error


class StoredDestinations:
    """The port ``Destinations`` over the document store. Configuration is written by people and by being disabled, each
    at an expected version; progress by the one task that serves the destination."""

    def __init__(self, store: Store, secrets: Secrets) -> None:
        self._store, self._secrets = store, secrets
        self._recorded: dict[tuple[str, str], int] = {}

    async def answered(self, tenant: str, request: Request) -> str | None:
        answer = await replayed(self._store, tenant, request.request_id, request.fingerprint)
        return None if answer is None else str(answer["destination_id"])

    async def get(self, tenant: str, destination_id: str) -> Destination | None:
        document = await self._store.get(tenant, DESTINATIONS, destination_id)
        return self._destination(tenant, document.id, document.body, document.version) if document else None

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Destination], str]:
        page = await self._store.find(tenant, DESTINATIONS, Query(limit=limit, after=after))
        return [self._destination(tenant, it.id, it.body, it.version) for it in page.documents], page.next_cursor

    async def count(self, tenant: str) -> int:
        return await self._store.count(tenant, DESTINATIONS)

    async def create(self, tenant: str, destination: Destination, progress: Progress, request: Request) -> None:
        await self._store.commit(
            [
                Insert(tenant, DESTINATIONS, destination.destination_id, self._body(tenant, destination)),
                Put(tenant, PROGRESS, destination.destination_id, _progress_body(progress)),
                Put("*", TENANTS, tenant, {}),
                *_remembered(tenant, destination.destination_id, request),
            ]
        )

    async def replace(self, tenant: str, destination: Destination, request: Request) -> None:
        replaced = self._replaced(tenant, destination)
        await self._store.commit([replaced, *_remembered(tenant, destination.destination_id, request)])

    async def delete(self, tenant: str, destination_id: str, request: Request) -> None:
        gone = Delete(tenant, DESTINATIONS, destination_id)
        await self._store.commit([gone, *_remembered(tenant, destination_id, request)])

    async def sweep(self, tenant: str, destination_id: str) -> None:
        await self._store.commit([Delete(tenant, PROGRESS, destination_id)])
        self._recorded.pop((tenant, destination_id), None)
        while await self._forget_oldest(tenant, destination_id, READ_AT_ONCE):
            pass

    async def all(self) -> AsyncIterator[tuple[str, Destination]]:
        async for tenant in self._tenants():
            after = ""
            while True:
                page, after = await self.page(tenant, READ_AT_ONCE, after)
                for each in page:
                    yield tenant, each
                if not after:
                    break

    async def progress(self, tenant: str, destination_id: str) -> Progress | None:
        document = await self._store.get(tenant, PROGRESS, destination_id)
        if document is None:
            return None
        run = document.body["run"]
        return Progress(**{**document.body, "run": Run(**run) if run else None})

    async def record(
        self,
        tenant: str,
        destination_id: str,
        progress: Progress,
        delivery: Delivery | None = None,
        disabled: Destination | None = None,
    ) -> None:
        writes: list[Write] = [Put(tenant, PROGRESS, destination_id, _progress_body(progress))]
        if delivery:
            writes.append(Put(tenant, DELIVERIES, delivery.delivery_id, _delivery_body(delivery)))
        if disabled:
            writes.append(self._replaced(tenant, disabled))
        await self._store.commit(writes)
        if delivery:
            await self._keep_few(tenant, destination_id)

    async def deliveries(self, tenant: str, destination_id: str, limit: int, after: str) -> tuple[list[Delivery], str]:
        query = Query({"destination_id": destination_id}, order_by="created", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, DELIVERIES, query)
        return [_delivery(document.id, document.body) for document in page.documents], page.next_cursor

    async def _keep_few(self, tenant: str, destination_id: str) -> None:
        key = (tenant, destination_id)
        self._recorded[key] = self._recorded.get(key, 0) + 1
        if self._recorded[key] % SWEEP_EVERY == 0:
            count = await self._store.count(tenant, DELIVERIES, Query({"destination_id": destination_id}))
            if count > KEPT_MAX:
                await self._forget_oldest(tenant, destination_id, count - KEPT_MAX)

    async def _forget_oldest(self, tenant: str, destination_id: str, count: int) -> bool:
        query = Query({"destination_id": destination_id}, order_by="created", limit=count)
        found = (await self._store.find(tenant, DELIVERIES, query)).documents
        if found:
            await self._store.commit([Delete(tenant, DELIVERIES, document.id) for document in found])
        return bool(found)

    async def _tenants(self) -> AsyncIterator[str]:
        after = ""
        while True:
            page = await self._store.find("*", TENANTS, Query(limit=READ_AT_ONCE, after=after))
            for document in page.documents:
                yield document.id
            after = page.next_cursor
            if not after:
                return

    def _replaced(self, tenant: str, destination: Destination) -> Replace:
        body = self._body(tenant, destination)
        return Replace(tenant, DESTINATIONS, destination.destination_id, body, destination.version - 1)

    def _body(self, tenant: str, it: Destination) -> Body:
        place = _place(tenant, it.destination_id)
        return {
            "name": it.name,
            "url": it.url,
            "content": _content_body(it.content),
            "state": int(it.state),
            "reason": it.reason,
            "secret": self._secrets.seal(it.secret, place),
            "previous_secret": self._secrets.seal(it.previous_secret, place) if it.previous_secret else None,
            "previous_until": it.previous_until,
            "created": it.create_time,
            "updated": it.update_time,
            "generation": it.generation,
            "skip_to": it.skip_to,
            "asked": it.asked,
        }

    def _destination(self, tenant: str, destination_id: str, body: Body, version: int) -> Destination:
        place = _place(tenant, destination_id)
        previous = body["previous_secret"]
        return Destination(
            destination_id=destination_id,
            name=body["name"],
            url=body["url"],
            content=_content(body["content"]),
            state=State(body["state"]),
            reason=body["reason"],
            secret=self._secrets.unseal(body["secret"], place),
            create_time=body["created"],
            update_time=body["updated"],
            version=version,
            previous_secret=self._secrets.unseal(previous, place) if previous else b"",
            previous_until=body["previous_until"],
            generation=body["generation"],
            skip_to=body["skip_to"],
            asked=body["asked"],
        )


def _place(tenant: str, destination_id: str) -> str:
    return f"destination\0{tenant}\0{destination_id}"


def _remembered(tenant: str, destination_id: str, request: Request) -> Sequence[Write]:
    return remember(tenant, request.request_id, request.fingerprint, {"destination_id": destination_id})


def _content_body(content: Content) -> Body:
    if isinstance(content, Schedule):
        return {name: _plain(each) for name, each in asdict(content).items()}
    return {"segment_ids": list(content.segment_ids), "batch_size": content.batch_size}


def _plain(value: Any) -> Any:
    """What documents hold of enumerations and tuples."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, IntEnum) else value


def _content(body: dict[str, Any]) -> Content:
    if "latest_key" in body:
        kinds = {"form": FileForm, "contents": Contents, "encryption": Encryption}
        columns = tuple(MemberColumn(**{**it, "hash": MemberHash(it["hash"])}) for it in body.get("columns", ()))
        return ObjectPush(**{**body, **{name: kind(body[name]) for name, kind in kinds.items()}, "columns": columns})
    if "interval" in body:
        return AudiencePush(**{**body, "format": Format(body["format"])})
    return TransitionPush(tuple(body["segment_ids"]), body["batch_size"])


def _progress_body(progress: Progress) -> Body:
    return asdict(progress)


def _delivery_body(delivery: Delivery) -> Body:
    body = asdict(delivery)
    del body["delivery_id"]
    return {**body, "state": int(delivery.state), "created": body.pop("create_time")}


def _delivery(delivery_id: str, body: Body) -> Delivery:
    body = {**body, "create_time": body["created"], "state": DeliveryState(body["state"])}
    del body["created"]
    return Delivery(delivery_id, **body)
