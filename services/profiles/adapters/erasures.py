"""Erasures as documents."""

from typing import Any

from services.common.privacy import Removal, Removed
from services.common.store import Collection, Document, Index, Replace, Store
from services.profiles.domain.erasure import Erasure, Part
from services.profiles.ports import Versioned

ERASURES = Collection("erasures", (Index(("time",)), Index(("state", "time"))))


class StoredErasures:
    """The port ``Erasures``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, erasure_id: str) -> Versioned[Erasure] | None:
        document = await self._store.get(tenant, ERASURES, erasure_id)
        return Versioned(erasure_of(document), document.version) if document else None

    async def replace(self, tenant: str, read: Versioned[Erasure], erasure: Erasure) -> None:
        body = erasure_body(erasure)
        await self._store.commit([Replace(tenant, ERASURES, erasure.erasure_id, body, read.version)])


def erasure_body(erasure: Erasure) -> dict[str, Any]:
    """The erasure as a document."""
    return {
        "customer_id": erasure.customer_id,
        "pseudonym": erasure.pseudonym,
        "requested_by": erasure.requested_by,
        "reason": erasure.reason,
        "time": erasure.request_time,
        "state": int(erasure.state),
        "origins": list(erasure.origin_customer_ids),
        "suppress": erasure.suppress,
        "suppressed": erasure.suppressed_count,
        "finish_time": erasure.finish_time,
        "problem": erasure.problem,
        "parts": [_part_body(part) for part in erasure.parts],
    }


def erasure_of(document: Document) -> Erasure:
    """The erasure in a document."""
    body = document.body
    return Erasure(
        erasure_id=document.id,
        customer_id=body["customer_id"],
        pseudonym=body["pseudonym"],
        requested_by=body["requested_by"],
        reason=body["reason"],
        request_time=body["time"],
        parts=tuple(map(_part, body["parts"])),
        origin_customer_ids=tuple(body["origins"]),
        suppress=body["suppress"],
        suppressed_count=body["suppressed"],
        finish_time=body["finish_time"],
        problem=body["problem"],
    )


def _part_body(part: Part) -> dict[str, Any]:
    return {
        "service": part.service,
        "removed": [[each.kind, each.count, int(each.removal)] for each in part.removed],
        "remove_time": part.remove_time,
        "acknowledge_time": part.acknowledge_time,
    }


def _part(body: dict[str, Any]) -> Part:
    removed = tuple(Removed(kind, count, Removal(removal)) for kind, count, removal in body["removed"])
    return Part(body["service"], removed, body["remove_time"], body["acknowledge_time"])
