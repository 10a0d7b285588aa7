"""What tests of funnels, retention and growth share: engines to ask, and events and filters to ask about."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.common.clock import from_micros
from services.common.columnar import Columnar
from services.common.rules import Comparison, Operator
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.insights import ColumnarInsights
from services.segmentation.adapters.tables import IDENTIFY, TRACK, Observed
from services.segmentation.domain.selection import EventFilter
from tests.segmentation.histories import NOW

ORDER = "Order Completed"
_tenants = (f"study{number}" for number in itertools.count())


@dataclass(frozen=True)
class Study:
    """An engine with its questions; each history gets a tenant of its own."""

    analytics: ColumnarAnalytics
    insights: ColumnarInsights

    @classmethod
    def over(cls, columnar: Columnar) -> "Study":
        return cls(ColumnarAnalytics(columnar, lambda: from_micros(NOW)), ColumnarInsights(columnar))

    async def tenant_with(self, history: Sequence[Observed]) -> str:
        """The tenant that has this history."""
        tenant = next(_tenants)
        for start in range(0, max(len(history), 1), 50_000):
            part = [replace(event, tenant=tenant) for event in history[start : start + 50_000]]
            await self.analytics.append(part, f"{tenant} {start}")
        return tenant


_numbers = itertools.count()


def did(customer: str, name: str, time: int, **properties: object) -> Observed:
    """An event."""
    return Observed("", customer, f"e{next(_numbers):08}", TRACK, name, time, properties)


def ordered(customer: str, time: int, total: float, **properties: object) -> Observed:
    """An order."""
    return did(customer, ORDER, time, currency="EUR", total=total, **properties)


def told(customer: str, time: int, **traits: object) -> Observed:
    """Traits."""
    return Observed("", customer, f"e{next(_numbers):08}", IDENTIFY, "Identify", time, traits)


def satisfied(event: Observed, wanted: EventFilter) -> bool:
    """Whether an event is one of those; knows EQUALS and AT_LEAST of a top-level property alone."""
    if wanted.event and event.name != wanted.event:
        return False
    return all(_holds(event, comparison) for comparison in wanted.where)


def _holds(event: Observed, comparison: Comparison) -> bool:
    value, sought = event.content.get(comparison.field), comparison.values[0]
    if event.type == IDENTIFY or value is None:
        return False
    if comparison.operator is Operator.EQUALS:
        return bool(value == sought)
    assert comparison.operator is Operator.AT_LEAST
    return bool(value >= sought)
