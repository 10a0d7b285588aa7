"""What loyalty knows of a customer beside points: only what earning rules ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref

SEGMENTS_MAX = 10_000
TEXT_MAX = 200


@dataclass(frozen=True, slots=True)
class Customer:
    """The newest of the traits that rules may ask for, and when they were told."""

    customer_id: str
    birthday: str | None = None
    """Month and day, ``MM-DD``."""
    country: str = ""
    region: str = ""
    city: str = ""
    postal_code: str = ""
    birthday_time: int = 0
    address_time: int = 0


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments that a customer is in, as segmentation has told."""

    customer_id: str
    segment_ids: tuple[str, ...] = ()


CUSTOMERS = Kind("customers", Customer)
SEGMENTS = Kind("customer_segments", Segments)


class Address(NamedTuple):
    """The parts of an address that rules may ask for; empty where it does not say."""

    country: str
    region: str
    city: str
    postal_code: str


@dataclass(frozen=True, slots=True)
class TraitsTold:
    """Traits that an `Identify` event told: of each, ``None`` where it said nothing of it."""

    customer_id: str
    event_time: int
    birthday: str | None
    address: Address | None

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return Needs(records=(Ref(CUSTOMERS, self.customer_id),))

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Keep what is newer than what is kept."""
        ref = Ref(CUSTOMERS, self.customer_id)
        before = books.record(ref) or Customer(self.customer_id)
        after = before
        if self.birthday is not None and self.event_time >= before.birthday_time:
            after = replace(after, birthday=self.birthday or None, birthday_time=self.event_time)
        if self.address is not None and self.event_time >= before.address_time:
            country, region, city, postal_code = self.address
            after = replace(
                after,
                country=country,
                region=region,
                city=city,
                postal_code=postal_code,
                address_time=self.event_time,
            )
        if after != before:
            books.put_record(ref, after)


@dataclass(frozen=True, slots=True)
class MembershipTold:
    """A customer entered or left a segment."""

    customer_id: str
    segment_id: str
    entered: bool

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return Needs(records=(Ref(SEGMENTS, self.customer_id),))

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Keep it."""
        ref = Ref(SEGMENTS, self.customer_id)
        before = books.record(ref)
        kept = set(before.segment_ids) if before else set()
        if self.entered and len(kept) < SEGMENTS_MAX:
            kept.add(self.segment_id)
        if not self.entered:
            kept.discard(self.segment_id)
        if kept:
            books.put_record(ref, Segments(self.customer_id, tuple(sorted(kept))))
        else:
            books.drop_record(ref)


def address_of(told: Mapping[str, Any]) -> Address:
    """The address in an `address` trait, as Segment's specification names its parts, or as CRMs do."""
    names = (("country",), ("state", "region"), ("city",), ("postalCode", "postal_code"))
    found = (next((told[name] for name in each if told.get(name)), "") for each in names)
    return Address(*(str(value)[:TEXT_MAX] for value in found))


def month_and_day(birthday: str) -> str:
    """``MM-DD`` of an ISO 8601 date or time; empty if it is none."""
    text = birthday[:10]
    well_formed = len(text) == 10 and text[4] == "-" == text[7]
    digits = text[:4] + text[5:7] + text[8:]
    if not (well_formed and digits.isascii() and digits.isdigit()):
        return ""
    month, day = int(text[5:7]), int(text[8:])
    return text[5:] if 1 <= month <= 12 and 1 <= day <= 31 else ""
