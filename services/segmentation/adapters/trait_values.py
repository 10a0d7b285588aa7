"""Traits as they are now, from the analytical tables."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from services.common.clock import Clock, to_micros
from services.common.columnar import Columnar
from services.segmentation.adapters.breakdowns import label, of_customers
from services.segmentation.adapters.tenant_history import given_to, of_touched, tenant_history
from services.segmentation.domain.selection import ByTrait, Flag


class ColumnarTraitValues:
    """The port ``TraitValues``: one query a trait."""

    def __init__(self, columnar: Columnar, clock: Clock) -> None:
        self._columnar, self._clock = columnar, clock

    async def of(
        self, tenant: str, customer_ids: Collection[str], traits: Sequence[str]
    ) -> Sequence[Mapping[str, str | float | bool]]:
        history = tenant_history(self._columnar, tenant)
        theirs = replace(history, traits=of_touched(history.traits))
        now, given = to_micros(self._clock()), given_to(customer_ids)
        found = []
        for trait in traits:
            rows = await self._columnar.execute(of_customers(theirs, ByTrait(trait), {}, now), given)
            found.append({row["customer_id"]: _value(label(row)) for row in rows.to_pylist()})
        return found


def _value(told: object) -> str | float | bool:
    if isinstance(told, Flag):
        return told.value
    assert isinstance(told, str | float)
    return told
