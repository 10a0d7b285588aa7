"""Guesses: how many codes were not found lately, by customer, by caller and by tenant, and when it is enough."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.coupon import CouponGuessesExceeded
from services.loyalty.domain.days import SECOND_MICROS
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref

WINDOW = 15 * 60 * SECOND_MICROS
CUSTOMER_MAX = 10
CALLER_MAX = 1_000
"""A caller is a shop or a till, which speaks for many customers."""
TENANT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class GuessCount:
    """Codes that were not found since ``start_time``."""

    start_time: int
    count: int


GUESSES = Kind("coupon_guesses", GuessCount)


@dataclass(frozen=True, slots=True)
class Guesser:
    """Who presents codes."""

    customer_id: str
    caller: str

    @property
    def limits(self) -> tuple[tuple[Ref[GuessCount], int], ...]:
        """Where guesses are counted, and how many are allowed."""
        return (
            (Ref(GUESSES, f"customer/{self.customer_id}"), CUSTOMER_MAX),
            (Ref(GUESSES, f"caller/{self.caller}"), CALLER_MAX),
            (Ref(GUESSES, "tenant"), TENANT_MAX),
        )

    @property
    def refs(self) -> list[Ref[GuessCount]]:
        """Where guesses are counted."""
        return [ref for ref, _ in self.limits]


def check_guesses(books: Books, guesser: Guesser, now: int) -> None:
    """``CouponGuessesExceeded`` if it is enough for the moment."""
    for ref, limit in guesser.limits:
        found = books.record(ref)
        if found and found.count >= limit and (left := found.start_time + WINDOW - now) > 0:
            seconds = -(-left // SECOND_MICROS)
            raise CouponGuessesExceeded(
                f"too many codes were not found; try again in {seconds} s", retry_after_seconds=seconds
            )


@dataclass(frozen=True, slots=True)
class CountGuesses:
    """Counts codes that were not found."""

    guesser: Guesser
    count: int

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=self.guesser.refs)

    def apply(self, books: Books, now: int) -> int:
        for ref in self.guesser.refs:
            found = books.record(ref)
            current = found if found and found.start_time + WINDOW > now else GuessCount(now, 0)
            books.put_record(ref, GuessCount(current.start_time, current.count + self.count))
        return self.count
