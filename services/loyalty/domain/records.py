"""Kinds of records: what topics keep beside members and entries, in the same commit as the entries they cause."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[T]):
    """One kind of record. ``name`` is that of its collection; ``type`` is a frozen dataclass of JSON-like fields.

    There is one of each, so it is compared by identity: refs are looked up several times an order.
    """

    name: str
    type: type[T]


@dataclass(frozen=True, slots=True)
class Ref(Generic[T]):
    """Where one record is kept: its kind, and its id in the tenant."""

    kind: Kind[T]
    id: str
