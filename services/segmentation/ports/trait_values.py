"""What customers' traits are now."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol


class TraitValues(Protocol):
    """The traits of all customers."""

    async def of(
        self, tenant: str, customer_ids: Collection[str], traits: Sequence[str]
    ) -> Sequence[Mapping[str, str | float | bool]]:
        """For each path of a trait its value by customer, of those of ``customer_ids`` that have one: a text, a number
        or a truth value; of a list the first."""
        ...
