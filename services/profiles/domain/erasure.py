"""Erasures: what is asked, what each service did, and the state that follows from it. Times are microseconds."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from services.common.errors import NotFound
from services.common.privacy import Removed, largest

PROFILES = "profiles"


class ErasureNotFound(NotFound):
    """No erasure has this id."""


class ErasureState(IntEnum):
    """Where an erasure stands; the numbers are the contract's."""

    INITIALIZED = 1
    RUNNING = 2
    PARTIAL_SUCCESS = 3
    FAILED = 4
    FINISHED = 5


class ErasureMode(IntEnum):
    """What becomes of what a person did; the numbers are the contract's."""

    DELETE = 1
    ANONYMISE = 2


@dataclass(frozen=True, slots=True)
class Part:
    """What one service does for an erasure; it is done once ``acknowledge_time`` is not 0."""

    service: str
    removed: tuple[Removed, ...] = ()
    remove_time: int = 0
    acknowledge_time: int = 0

    @property
    def done(self) -> bool:
        return self.acknowledge_time > 0


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person who is to be forgotten, and the receipt of it."""

    erasure_id: str
    customer_id: str
    pseudonym: str
    requested_by: str
    reason: str
    request_time: int
    parts: tuple[Part, ...]
    origin_customer_ids: tuple[str, ...] = ()
    """Known once profiles has begun to remove."""
    suppress: bool = True
    """Whether the person's identifiers are refused from now on."""
    suppressed_count: int = 0
    finish_time: int = 0
    problem: str = ""
    mode: ErasureMode = ErasureMode.DELETE

    @property
    def own(self) -> Part:
        """What profiles itself does."""
        return next(part for part in self.parts if part.service == PROFILES)

    @property
    def state(self) -> ErasureState:
        if self.own.done:
            return ErasureState.FINISHED if self.finish_time else ErasureState.PARTIAL_SUCCESS
        if self.problem:
            return ErasureState.FAILED
        return ErasureState.RUNNING if self.origin_customer_ids else ErasureState.INITIALIZED

    def removing(self, removed: Sequence[Removed]) -> "Erasure":
        """Profiles has removed this much more."""
        counts = {(each.kind, each.removal): each.count for each in self.own.removed}
        for each in removed:
            counts[each.kind, each.removal] = counts.get((each.kind, each.removal), 0) + each.count
        total = tuple(Removed(kind, count, removal) for (kind, removal), count in sorted(counts.items()) if count)
        return self._with(replace(self.own, removed=total))

    def acknowledged(self, service: str, removed: Sequence[Removed], remove_time: int, now: int) -> "Erasure":
        """``service`` has removed its part: the first answer of each service stands."""
        part = next((each for each in self.parts if each.service == service), Part(service))
        if part.done:
            return self
        answered = self._with(Part(service, largest(removed), remove_time or now, now))
        return replace(answered, finish_time=now) if all(each.done for each in answered.parts) else answered

    def _with(self, part: Part) -> "Erasure":
        others = [each for each in self.parts if each.service != part.service]
        return replace(self, parts=tuple(sorted((*others, part), key=lambda each: each.service)))


def erasure_id_of(tenant: str, customer_id: str) -> str:
    """The id of the only erasure of a customer: asked for again, it is the same."""
    digest = hashlib.blake2b(f"{tenant}\0{customer_id}".encode(), digest_size=15, person=b"erasure")
    return f"er_{digest.hexdigest()}"
