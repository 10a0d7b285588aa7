"""What the feed tells besides events, as documents: one for each change, never changed afterwards."""

from dataclasses import fields
from typing import Any

from services.common.store import Collection, Index, Insert
from services.profiles.adapters.customer_keys import Keys, seal_content, unseal_content
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


def tell_value(change: ComputedTraitChanged, key: str, secret: bytes) -> Insert:
    """The same, with the value sealed for who has the customer's key, ``secret``."""
    write = tell(change, key)
    value = write.body.pop("value_json")
    write.body["sealed"] = seal_content(secret, value, _place(change.tenant, write.id))
    return write


def read(tenant: str, key: str, body: dict[str, Any], keys: Keys) -> Told | None:
    """The change that the document ``key`` tells; ``None`` where what it says is sealed and the key is destroyed."""
    content: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in body.items()}
    if (sealed := content.pop("sealed", None)) is not None:
        secret = keys.get(content["customer_id"])
        if secret is None:
            return None
        content["value_json"] = unseal_content(secret, sealed, _place(tenant, key))
    return _KINDS[content.pop("kind")](tenant=tenant, **content)


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}


def _place(tenant: str, key: str) -> str:
    return f"change\0{tenant}\0{key}"
