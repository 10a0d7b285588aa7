"""What every use case that changes something names: the request, and what was read before."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Identifier = tuple[str, str]
"""The kind of a name, and the name."""


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """What was read, and the version it was read at: a write that brings it fails with ``Conflict`` if outdated."""

    value: T
    version: int


@dataclass(frozen=True, slots=True)
class Request:
    """A mutation as the caller named it: the same id with the same content is the same mutation."""

    tenant: str
    id: str
    fingerprint: str
