"""Relay nodes: one ``id`` for every object of the platform, and the field that finds an object by it.

A global id says the type and the id in the service. Arguments that name an object take either: its global ``id``, or
its own id in the service.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import strawberry
from google.protobuf.message import Message

from gateway.context import Info
from gateway.schema import global_ids
from gateway.schema.access import ANY_TOKEN, Access
from gateway.schema.proto_fields import ReadField, define
from gateway.schema.registry import query
from services.common.auth import TokenMissing
from services.common.errors import InvalidArgument

Fetch = Callable[..., Awaitable[Any]]

_ID_DESCRIPTION = "The same for ever, and unique among all types."


class IdInvalid(InvalidArgument):
    """An id that no object of the type that is meant can have."""


@dataclass(frozen=True, slots=True)
class _NodeType:
    access: Access
    fetch: Fetch


_node_types: dict[str, _NodeType] = {}
_names: dict[type, str] = {}


class Node:
    """An object that `node` finds by its `id`."""


define(
    Node,
    [ReadField("id", lambda: strawberry.ID, lambda source: "", _ID_DESCRIPTION)],
    Node.__doc__,
    is_interface=True,
    resolve_type=lambda value, _info, _type: _names[type(value)],
)


def as_node(cls: type, message: type[Message], *keys: str, access: Access) -> Callable[[Fetch], Fetch]:
    """Decorate the function that finds a ``cls`` by the values of its ``keys``: ``cls`` becomes a ``Node``."""

    def register(fetch: Fetch) -> Fetch:
        name = cls.__name__
        global_ids.register(name, len(keys))
        _node_types[name] = _NodeType(access, fetch)
        _names[message] = name
        definition = cls.__strawberry_definition__  # type: ignore[attr-defined]
        definition.interfaces.append(Node.__strawberry_definition__)  # type: ignore[attr-defined]
        definition.fields.insert(0, _id_field(name, keys))
        return fetch

    return register


def own_id(cls: type, given: str) -> str:
    """The id in the service of the ``cls`` that ``given`` names, whichever of its ids that is."""
    found = global_ids.decode(given)
    if found is None:
        return given
    name, parts = found
    if name != cls.__name__:
        raise IdInvalid(f"this is the id of a {name}; a {cls.__name__} is needed", field="id")
    return parts[-1]


@query(ANY_TOKEN)
async def node(info: Info, id: strawberry.ID) -> Node:
    """Any object by its global id; null if there is none. Each type needs the scope of its own root field."""
    decoded = global_ids.decode(id)
    if decoded is None:
        raise IdInvalid("this is not a global id; take the `id` of an object as it was answered", field="id")
    name, parts = decoded
    found = _node_types[name]
    if info.context.principal is None:
        raise TokenMissing("this field needs a token")
    info.context.principal.require(found.access.scope)
    answer: Node = await found.fetch(info.context, *parts)
    return answer


def node_scopes() -> dict[str, str]:
    """The scope that each type of node needs."""
    return {name: found.access.scope for name, found in _node_types.items()}


def _id_field(name: str, keys: tuple[str, ...]) -> ReadField:
    getters = [attrgetter(key) for key in keys]
    return ReadField(
        "id",
        lambda: strawberry.ID,
        lambda source: global_ids.encode(name, *(get(source) for get in getters)),
        _ID_DESCRIPTION,
    )
