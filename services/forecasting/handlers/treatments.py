"""Record who was treated in experiments."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.forecasting.domain.uplift import EXPERIMENTS_MAX, TooManyExperiments, Treatment, TreatmentInvalid
from services.forecasting.handlers.get_series import LATEST
from services.forecasting.ports import Requests, Treatments


@dataclass(frozen=True, slots=True)
class TreatmentKeeping:
    """What experiments need from outside."""

    treatments: Treatments
    requests: Requests


async def record_treatments(
    keeping: TreatmentKeeping,
    tenant: str,
    request_id: str,
    fingerprint: str,
    experiment_id: str,
    rows: Sequence[Treatment],
) -> int:
    """How many customers were recorded; a request that came before gets the answer of then."""
    answer = await keeping.requests.replayed(tenant, request_id, fingerprint)
    if answer is None:
        _check(rows)
        known = await keeping.treatments.experiments(tenant)
        there = {it.experiment_id for it in known if not it.campaign_id}
        if experiment_id not in there and len(there) >= EXPERIMENTS_MAX:
            raise TooManyExperiments(
                f"there are {EXPERIMENTS_MAX} experiments already; delete one first", maximum=EXPERIMENTS_MAX
            )
        await keeping.treatments.record(tenant, request_id, experiment_id, rows)
        answer = {"recorded": len(rows)}
        await keeping.requests.remember(tenant, request_id, fingerprint, answer)
    return int(answer["recorded"])


def _check(rows: Sequence[Treatment]) -> None:
    seen: dict[str, int] = {}
    for index, it in enumerate(rows):
        if not 0 <= it.time <= LATEST:
            raise TreatmentInvalid(
                f"the time of treatments[{index}] must lie between 1970 and 2169", index=index, field="treatment_time"
            )
        first = seen.setdefault(it.customer_id, index)
        if first != index:
            raise TreatmentInvalid(
                f"treatments[{index}] is of the same customer as treatments[{first}]: a customer is in one group",
                index=index,
                field="customer_id",
            )
