"""What is known of single customers: what they bought and did, and in which segments they were."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BoughtLine:
    """A line of an order of one customer. Amounts are minor units, times microseconds."""

    time: int
    order_id: str
    product_id: str
    category: str
    store_id: str
    quantity: float
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What one customer did, with one of the products that it was about. The time is in microseconds."""

    time: int
    name: str
    product_id: str
    category: str
    store_id: str
    channel: str
    properties: Mapping[str, object] = field(default_factory=dict)
    """What is kept of the event's properties, by path; in the first row of an event only."""


@dataclass(frozen=True, slots=True)
class Transition:
    """When a customer came into a segment, or left it. The time is in microseconds."""

    time: int
    segment_id: str
    entered: bool
