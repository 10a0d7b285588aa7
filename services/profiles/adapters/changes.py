"""What the feed tells besides events, as documents: one for each change, never changed afterwards."""

from dataclasses import fields
from typing import Any

from services.common.store import Collection, Index, Insert
from services.profiles.domain.computing import ComputedTraitChanged
from services.profiles.domain.group import GroupMembershipChanged, GroupTraitsChanged
from services.profiles.ports import ConsentChanged, CustomerErased, CustomersMerged, CustomersUnmerged

CHANGES = Collection("changes", (Index(("kind", "origin_customer_id")), Index(("kind", "customer_id"))), published=True)

Told = (
    CustomersMerged
    | CustomersUnmerged
    | ConsentChanged
    | ComputedTraitChanged
    | CustomerErased
    | GroupTraitsChanged
    | GroupMembershipChanged
)
_TOLD: tuple[type[Told], ...] = (
    CustomersMerged,
    CustomersUnmerged,
    ConsentChanged,
    ComputedTraitChanged,
    CustomerErased,
    GroupTraitsChanged,
    GroupMembershipChanged,
)
_KINDS: dict[str, type[Told]] = {kind.__name__: kind for kind in _TOLD}


def tell(change: Told, key: str) -> Insert:
    """The write that puts ``change`` on the feed; ``key`` tells changes of one kind apart."""
    kind = type(change).__name__
    content = {each.name: getattr(change, each.name) for each in fields(change) if each.name != "tenant"}
    return Insert(change.tenant, CHANGES, f"{kind}:{key}", {"kind": kind, **_plain(content)})


def read(tenant: str, body: dict[str, Any]) -> Told:
    """The change that a document tells."""
    content: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in body.items()}
    return _KINDS[content.pop("kind")](tenant=tenant, **content)


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}
