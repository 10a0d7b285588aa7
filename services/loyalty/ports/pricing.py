"""What personal prices need from outside."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.loyalty.domain.personal_price import PersonalPrice
from services.loyalty.domain.price_model import PriceEvidence, PriceModel, PriceStanding
from services.loyalty.domain.price_sensitivity import Purchases
from services.loyalty.domain.pricing_policy import PricingPolicy


@dataclass(frozen=True, slots=True)
class History:
    """Lines of orders as arrays, and who each person in them is."""

    purchases: Purchases
    customer_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who of some customer ids are one person, who consents, and who is in which of the policy's segments."""

    person_of: dict[str, str]
    consenting: frozenset[str]
    segment_of: dict[str, str]
    epoch: int
    """What is written under it fails once somebody was forgotten, or withdrew, after it was read."""


class Prices(Protocol):
    """What personal prices are learnt from, what was learnt, and what was quoted."""

    async def policy(self, tenant: str) -> PricingPolicy:
        """The policy; not enabled where none was set."""
        ...

    async def enlist(self, tenant: str, policy: PricingPolicy) -> None:
        """Follow profiles for the tenant, from the beginning where that is new; or no more, and forget what is kept."""
        ...

    async def tenants(self) -> list[str]:
        """Those that learn prices."""
        ...

    async def order_count(self, tenant: str) -> int:
        """How many orders are kept."""
        ...

    async def model(self, tenant: str) -> PriceModel | None:
        """What was learnt of everybody."""
        ...

    async def standing(self, tenant: str, customer_id: str, segment_ids: frozenset[str]) -> PriceStanding:
        """What is kept of a person; ``segment_ids`` are those that the caller knows of."""
        ...

    async def history(self, tenant: str, since: int) -> History:
        """The newest lines since then, as many as are learnt from."""
        ...

    async def crowd(self, tenant: str, policy: PricingPolicy, customer_ids: Sequence[str], now: int) -> Crowd:
        """What has to be known of those whose purchases were looked at."""
        ...

    async def keep(self, tenant: str, epoch: int, model: PriceModel, evidence: Sequence[PriceEvidence]) -> None:
        """Put a model into the place of the one before; ``Conflict`` if the epoch is over."""
        ...

    async def forget_orders(self, tenant: str, before: int) -> int:
        """Drop orders from before that instant; how many there were."""
        ...

    async def forget_quoted(self, tenant: str, before: int, now: int) -> int:
        """Drop what was quoted before that instant, and shares that have expired; how many there were."""
        ...

    async def quoted_to(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[PersonalPrice], str]:
        """A page of what a person was quoted, latest first, and the token of the next."""
        ...

    async def quoted_by(self, tenant: str, offer_id: str, limit: int, after: str) -> tuple[list[PersonalPrice], str]:
        """A page of what an offer quoted, latest first, and the token of the next."""
        ...

    def quoted(self, tenant: str, offer_id: str, start: int, end: int) -> AsyncIterator[list[PersonalPrice]]:
        """What was quoted in a period, by one offer or by all, in pages."""
        ...
