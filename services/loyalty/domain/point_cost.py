"""What a point costs a programme, as whoever keeps its books says."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref

WHOLE = 10_000
"""All of something, in ten-thousandths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointCost:
    """Minor units for a thousand points, and the margin in ten-thousandths (0: not told)."""

    program_id: str
    per_1000_minor: int
    margin_share: int = 0
    set_time: int = 0

    def of(self, points: int) -> int:
        """What points come to, in minor units, rounded half up."""
        return (points * self.per_1000_minor + 500) // 1000

    def margin_of(self, amount_minor: int) -> int | None:
        """What is left of an amount after the cost of the goods; ``None`` where that is not told."""
        return amount_minor * self.margin_share // WHOLE if self.margin_share else None


POINT_COSTS = Kind("point_costs", PointCost)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPointCost:
    """Says what points cost from now on."""

    cost: PointCost

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(Ref(POINT_COSTS, self.cost.program_id),))

    def apply(self, books: Books, now: int) -> PointCost:
        program = books.program(self.cost.program_id)
        told = PointCost(
            program_id=program.id,
            per_1000_minor=self.cost.per_1000_minor,
            margin_share=self.cost.margin_share,
            set_time=now,
        )
        books.put_record(Ref(POINT_COSTS, program.id), told)
        return told
