"""What merges brought to an account and took from it, added up for the check from nothing but their entries."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.loyalty.domain.entry import Entry, Part, PendingLot
from services.loyalty.domain.member import Member

Fault = tuple[str, str]
"""An invariant, and what was found."""

_SUMS = ("earned", "spent", "expired", "refunded", "spend_minor", "orders", "sent", "received")


@dataclass(slots=True)
class OrderFacts:
    """An order as its entries tell it."""

    points: int
    amount_minor: int
    refunded_minor: int = 0
    refunds: int = 0
    shares: dict[str, int] = field(default_factory=dict)
    """What is left of each rule's part."""


@dataclass(slots=True)
class Came:
    """Sums over the merges of one member, in the sequence of their entries."""

    merged: bool = False
    sums: Counter[str] = field(default_factory=Counter)
    origins: dict[str, str] = field(default_factory=dict)
    """Under whose names an entry's points came, by its id."""
    orders: dict[str, OrderFacts] = field(default_factory=dict)
    """Orders that another member earned by."""
    refunds: dict[tuple[str, int], Entry] = field(default_factory=dict)
    """Refunds that another member bore, by order and number."""
    last: Entry | None = None

    def add(self, entry: Entry, qualified: dict[str, list[tuple[int, int]]]) -> None:
        """Add what came and take what went: sums, and what counts towards tiers by origin."""
        self.merged, self.last = True, entry
        for sign, parts in ((1, entry.came), (-1, entry.went)):
            for part in parts:
                for name in _SUMS:
                    self.sums[name] += sign * getattr(part, name)
                origin_id = "" if part.origin_id == entry.member_id else part.origin_id
                if sign < 0:
                    qualified.pop(origin_id, None)
                else:
                    qualified.setdefault(origin_id, []).extend(part.qualified)
                    self.origins |= {lot.entry_id: origin_id for lot in part.pending}

    def waiting(self) -> list[PendingLot]:
        """The pending points that came with the last merge."""
        return [lot for part in (self.last.came if self.last else ()) for lot in part.pending]

    def move_pending(self, pending: dict[str, int]) -> None:
        """Let the pending points of the last merge come to ``pending``, or go from there."""
        pending |= {lot.entry_id: lot.points for lot in self.waiting()}
        for part in self.last.went if self.last else ():
            for lot in part.pending:
                pending.pop(lot.entry_id, None)


def part_faults(member: Member) -> Iterator[Fault]:
    """What does not hold of an account's parts: together they are the account, and each is sound by itself."""
    if not member.parts:
        return
    for name in ("balance", *_SUMS):
        found, expected = sum(getattr(part, name) for part in member.parts), getattr(member, name)
        if found != expected:
            yield "PARTS_DIFFER", f"the parts come to {found} in {name}, and the account to {expected}"
    waiting = sorted(lot for part in member.parts for lot in part.pending)
    if waiting != sorted(member.pending) or len({part.origin_id for part in member.parts}) != len(member.parts):
        yield "PARTS_DIFFER", "the parts do not have the account's pending points, each once"
    yield from (fault for part in member.parts for fault in _lot_faults(part))


def _lot_faults(part: Part) -> Iterator[Fault]:
    points = [lot.points for lot in part.lots]
    if sum(points) != max(0, part.balance) or any(each <= 0 for each in points):
        yield (
            "PARTS_DIFFER",
            f"the lots of part {part.origin_id} come to {sum(points)}, and its balance is {part.balance}",
        )
