"""Forgetting a person: what is told is kept as something to do, in the commit of the feed that told it."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.program import Program


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person to forget: under which ids they may be kept here, and whose the accounts are from then on."""

    erasure_id: str
    customer_ids: tuple[str, ...]
    pseudonym: str

    def pseudonym_of(self, customer_id: str) -> str:
        """Each id has accounts of its own, so each has a pseudonym of its own."""
        at = self.customer_ids.index(customer_id)
        return f"{self.pseudonym}.{at}" if at else self.pseudonym

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return Needs()

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Keep it as something to do."""
        books.erasures.append(self)
