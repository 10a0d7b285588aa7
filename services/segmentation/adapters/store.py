"""Segment definitions as documents."""

from collections.abc import Collection as AnyCollection
from collections.abc import Sequence
from typing import Any

from tessera.common.v1 import rule_pb2

from services.common.idempotency import REQUESTS, remember, replayed
from services.common.rules import wire
from services.common.store import Collection, Delete, Index, Insert, Put, Query, Replace, Store, Write
from services.common.store.port import Body
from services.segmentation.adapters import memberships
from services.segmentation.domain.history import SegmentVersion
from services.segmentation.domain.scores import cluster_score, lookalike_score
from services.segmentation.domain.segment import Segment
from services.segmentation.ports import Catalogue, Request

SEGMENTS = Collection("segments")
CATALOGUES = Collection("catalogues")
TENANTS = Collection("tenants")
LISTS = Collection("lists")
CLUSTERINGS = Collection("clusterings", (Index(("as_of",)),))
LOOKALIKES = Collection("lookalikes", (Index(("as_of",)),))
VERSIONS = Collection("segment_versions", (Index(("segment_id", "version")),))
COLLECTIONS = (
    SEGMENTS,
    VERSIONS,
    CATALOGUES,
    TENANTS,
    CLUSTERINGS,
    LOOKALIKES,
    REQUESTS,
    *memberships.COLLECTIONS,
)
CATALOGUE = "catalogue"
_PAGE = 500


class StoredSegments:
    """The port ``Segments`` over the document store.

    A change of any definition also replaces the tenant's catalogue document: checks that look at several segments
    (no cycle, not in use) hold when the change is committed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def answered(self, tenant: str, request: Request) -> Segment | None:
        answer = await replayed(self._store, tenant, request.request_id, request.fingerprint)
        return None if answer is None else _segment(answer["segment_id"], answer)

    async def get(self, tenant: str, segment_id: str) -> Segment | None:
        document = await self._store.get(tenant, SEGMENTS, segment_id)
        return _segment(document.id, document.body) if document else None

    async def many(self, tenant: str, segment_ids: Sequence[str]) -> dict[str, Segment]:
        found = await self._store.get_many(tenant, SEGMENTS, segment_ids)
        return {segment_id: _segment(segment_id, document.body) for segment_id, document in found.items()}

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Segment], str]:
        page = await self._store.find(tenant, SEGMENTS, Query(limit=limit, after=after))
        return [_segment(document.id, document.body) for document in page.documents], page.next_cursor

    async def catalogue(self, tenant: str) -> Catalogue:
        guard = await self._store.get(tenant, CATALOGUES, CATALOGUE)
        segments: dict[str, Segment] = {}
        after = ""
        while True:
            page, after = await self.page(tenant, _PAGE, after)
            segments.update((segment.segment_id, segment) for segment in page)
            if not after:
                lists = await self._ids(tenant, LISTS)
                scores = {cluster_score(each) for each in await self._ids(tenant, CLUSTERINGS)}
                scores |= {lookalike_score(each) for each in await self._ids(tenant, LOOKALIKES)}
                return Catalogue(segments, guard.version if guard else 0, lists, frozenset(scores))

    async def _ids(self, tenant: str, collection: Collection) -> frozenset[str]:
        found: set[str] = set()
        after = ""
        while True:
            page = await self._store.find(tenant, collection, Query(limit=_PAGE, after=after))
            found.update(document.id for document in page.documents)
            after = page.next_cursor
            if not after:
                return frozenset(found)

    async def tenants(self) -> list[str]:
        found: list[str] = []
        after = ""
        while True:
            page = await self._store.find("*", TENANTS, Query(limit=_PAGE, after=after))
            found.extend(document.id for document in page.documents)
            after = page.next_cursor
            if not after:
                return found

    async def save(self, tenant: str, segment: Segment, catalogue: Catalogue, request: Request) -> None:
        kept = {"segment_id": segment.segment_id, **_body(segment), "author": request.author}
        writes: list[Write] = [
            Put(tenant, SEGMENTS, segment.segment_id, _body(segment)),
            Insert(tenant, VERSIONS, _version_id(segment.segment_id, segment.version), kept),
        ]
        await self._commit(tenant, writes, segment, catalogue, request)

    async def delete(self, tenant: str, segment: Segment, catalogue: Catalogue, request: Request) -> None:
        writes: list[Write] = [
            Delete(tenant, collection, segment.segment_id) for collection in (SEGMENTS, memberships.REFRESHES)
        ]
        await self._commit(tenant, writes, segment, catalogue, request)

    async def versions(self, tenant: str, segment_id: str, limit: int, after: str) -> tuple[list[SegmentVersion], str]:
        query = Query({"segment_id": segment_id}, order_by="version", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, VERSIONS, query)
        return [_version(document.body) for document in page.documents], page.next_cursor

    async def versions_of(
        self, tenant: str, segment_id: str, versions: AnyCollection[int]
    ) -> dict[int, SegmentVersion]:
        ids = [_version_id(segment_id, version) for version in set(versions)]
        found = (await self._store.get_many(tenant, VERSIONS, ids)).values()
        return {document.body["version"]: _version(document.body) for document in found}

    async def _commit(
        self, tenant: str, writes: Sequence[Write], segment: Segment, catalogue: Catalogue, request: Request
    ) -> None:
        guard: Write = (
            Replace(tenant, CATALOGUES, CATALOGUE, {}, catalogue.version)
            if catalogue.version
            else Insert(tenant, CATALOGUES, CATALOGUE, {})
        )
        answer = {"segment_id": segment.segment_id, **_body(segment)}
        replay = remember(tenant, request.request_id, request.fingerprint, answer)
        await self._store.commit([*writes, guard, Put("*", TENANTS, tenant, {}), *replay])


def _body(segment: Segment) -> Body:
    return {
        "name": segment.name,
        "description": segment.description,
        "rule": wire.write(segment.rule).SerializeToString(),
        "version": segment.version,
        "created": segment.create_time,
        "updated": segment.update_time,
    }


def _version_id(segment_id: str, version: int) -> str:
    return f"{segment_id}:{version}"


def _version(body: dict[str, Any]) -> SegmentVersion:
    return SegmentVersion(_segment(body["segment_id"], body), body["author"])


def _segment(segment_id: str, body: dict[str, Any]) -> Segment:
    return Segment(
        segment_id=segment_id,
        name=body["name"],
        description=body["description"],
        rule=wire.read(rule_pb2.Rule.FromString(body["rule"])),
        version=body["version"],
        create_time=body["created"],
        update_time=body["updated"],
    )
