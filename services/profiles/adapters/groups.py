"""Groups and memberships as documents."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.common.errors import Conflict
from services.common.idempotency import remember, replayed
from services.common.store import Collection, Document, Index, Insert, Query, Replace, Store, Write
from services.profiles.adapters.changes import tell
from services.profiles.adapters.sealed import CUSTOMERS
from services.profiles.domain.customer import Trait
from services.profiles.domain.group import MEMBERS_MAX, GroupChanges, GroupProfile, Membership
from services.profiles.ports.groups import MemberKey
from services.profiles.ports.request import Request

GROUPS = Collection("groups", (Index(("type",)),))
MEMBERS = Collection("members", (Index(("group_id", "member")), Index(("origin",))))
GROUP_COLLECTIONS = (GROUPS, MEMBERS)
MEMBERSHIPS_MAX = 10_000


class StoredGroups:
    """The port ``Groups``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, tenant: str, group_ids: Sequence[str], members: Sequence[MemberKey]) -> GroupChanges:
        groups = await self._store.get_many(tenant, GROUPS, list(dict.fromkeys(group_ids)))
        keys = {_member_id(key): key for key in members}
        known = await self._store.get_many(tenant, MEMBERS, list(keys))
        changes = GroupChanges()
        for group_id, document in groups.items():
            changes.groups[group_id], changes.versions[group_id] = _group(document), document.version
        for member_id, document in known.items():
            body, key = document.body, keys[member_id]
            changes.members[key] = Membership(*key, body["time"], body["member"])
            changes.versions[key] = document.version
        return changes

    async def page(self, tenant: str, kind: str, limit: int, after: str) -> tuple[list[GroupProfile], str]:
        query = Query(where={"type": kind} if kind else {}, limit=limit, after=after)
        page = await self._store.find(tenant, GROUPS, query)
        return [_group(document) for document in page.documents], page.next_cursor

    async def origins(self, tenant: str, group_id: str) -> list[str]:
        query = Query(where={"group_id": group_id, "member": True}, limit=MEMBERS_MAX)
        page = await self._store.find(tenant, MEMBERS, query)
        return sorted(document.body["origin"] for document in page.documents)

    async def of_origin(self, tenant: str, origin: str) -> list[Membership]:
        page = await self._store.find(tenant, MEMBERS, Query(where={"origin": origin}, limit=MEMBERSHIPS_MAX))
        bodies = [document.body for document in page.documents]
        return [Membership(body["group_id"], origin, body["time"], body["member"]) for body in bodies]

    async def answered(self, request: Request) -> Mapping[str, Any] | None:
        return await replayed(self._store, request.tenant, request.id, request.fingerprint)

    async def commit(
        self, request: Request, changes: GroupChanges, owners: Mapping[str, str], answer: Mapping[str, Any]
    ) -> None:
        kept = remember(request.tenant, request.id, request.fingerprint, dict(answer))
        unmoved = await self._unmoved(request.tenant, owners)
        await self._store.commit([*group_writes(request.tenant, changes), *unmoved, *kept])

    async def _unmoved(self, tenant: str, owners: Mapping[str, str]) -> list[Write]:
        """Writes that change nothing and fail if an origin is merged, unmerged or erased meanwhile: followers would
        hear of the membership of somebody whom they have just moved, or forgotten."""
        known = await self._store.get_many(tenant, CUSTOMERS, list(owners))
        for origin, owner in owners.items():
            if origin not in known or (known[origin].body.get("merged_into") or origin) != owner:
                raise Conflict(f"customer {origin} has just been merged, unmerged or erased; read again")
        return [Replace(tenant, CUSTOMERS, each.id, each.body, each.version) for each in known.values()]


def group_writes(tenant: str, changes: GroupChanges) -> Iterator[Write]:
    """Those that write groups and memberships, each of which is new or still at its version."""
    for group_id, group in changes.groups.items():
        yield _write(tenant, GROUPS, group_id, _group_body(group), changes.versions.get(group_id))
    for key, membership in changes.members.items():
        body = {
            "group_id": membership.group_id,
            "origin": membership.origin,
            "time": membership.time,
            "member": membership.member,
        }
        yield _write(tenant, MEMBERS, _member_id(key), body, changes.versions.get(key))
    for number, change in enumerate(changes.told):  # each commit finds the group at another version
        version = changes.versions.get(change.group_id, -1)
        yield tell(change, f"{_digest(change.group_id)}:{version}:{number}")


def _write(tenant: str, collection: Collection, key: str, body: dict[str, Any], version: int | None) -> Write:
    if version is None:
        return Insert(tenant, collection, key, body)
    return Replace(tenant, collection, key, body, version)


def _member_id(key: MemberKey) -> str:
    return f"{_digest(key[0])}:{key[1]}"


def _digest(group_id: str) -> str:
    """Ids of groups are texts of sources, of any length and with any sign."""
    return hashlib.blake2b(group_id.encode(), digest_size=16).hexdigest()


def _group_body(group: GroupProfile) -> dict[str, Any]:
    return {
        "type": group.type,
        "traits": {name: [trait.value, trait.event_time] for name, trait in group.traits.items()},
        "time": group.event_time,
        "members": group.member_count,
    }


def _group(document: Document) -> GroupProfile:
    body = document.body
    traits = {name: Trait(value, time) for name, (value, time) in body["traits"].items()}
    return GroupProfile(document.id, traits, body["time"], body["members"])
