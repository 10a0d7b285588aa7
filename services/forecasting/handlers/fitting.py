"""What every fit of a model of customers asks for first and does last."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.propensity import (
    MODELS_MAX,
    Goal,
    LearnerMissing,
    TooManyModels,
    check_described,
    incomplete,
)
from services.forecasting.domain.series import Selection
from services.forecasting.learning.lightgbm_runtime import missing
from services.forecasting.ports import Lines, Moments
from services.forecasting.ports.properties import GoalMoments

NAMES_MAX = 20


class Versions(Protocol):
    """Whatever keeps what versions of models say of customers."""

    async def drop(self, tenant: str, model_id: str, version: int, customer_ids: Sequence[str]) -> None:
        """Remove what a version says of these customers."""
        ...


def check_learner() -> None:
    """``LearnerMissing`` where trees cannot be grown."""
    if why := missing():
        raise LearnerMissing(f"LightGBM cannot be loaded on this machine; install OpenMP's runtime (libgomp1): {why}")


def check_room(names: Collection[str], model_id: str) -> None:
    """``TooManyModels`` for one name more than a tenant may have."""
    if len(names) >= MODELS_MAX and model_id not in names:
        raise TooManyModels(f"there are {MODELS_MAX} models; delete one, or fit one of them anew", limit=MODELS_MAX)


async def with_orders(lines: Lines, tenant: str, currency: str, at: int) -> Sequence[str]:
    """The customers whose orders are known by a moment."""
    return (await lines.histories(tenant, currency, at, at)).ids


@dataclass(frozen=True, slots=True)
class GoalExtent:
    """From when to when it is known who reached a goal, and what of that is not known, in sentences."""

    first_time: int
    last_time: int
    described_from: int = 0
    """From when on the properties that it asks for are known of all events of its name."""
    warnings: tuple[str, ...] = ()


async def extent_of(lines: Lines, moments: GoalMoments, tenant: str, goal: Goal) -> GoalExtent | None:
    """Of the orders or events that the goal counts; ``None``: there are none. ``GoalInvalid`` where properties are not
    known."""
    if not goal.event_name:
        found = await lines.extent(tenant)
        return GoalExtent(found.first_time, found.last_time) if found else None
    selection = Selection(Measure.EVENTS, Dimension.TOTAL, Granularity.DAY, event_name=goal.event_name)
    found = await lines.extent(tenant, selection)
    if found is None or not goal.paths:
        return GoalExtent(found.first_time, found.last_time) if found else None
    known = await moments.described(tenant, goal.event_name, goal.paths)
    check_described(goal, known, await moments.property_names(tenant, goal.event_name, NAMES_MAX))
    begin = 0 if known.unknown_until is None else known.unknown_until + 1
    return GoalExtent(max(found.first_time, begin), found.last_time, begin, tuple(incomplete(goal, known)))


async def who_is_known(
    lines: Lines, moments: Moments, tenant: str, currency: str, goal: Goal, at: int
) -> Sequence[str]:
    """The customers of whom a model of the goal says something as of a moment."""
    if goal.event_name:
        return (await moments.moment(tenant, currency, goal, at)).ids
    return await with_orders(lines, tenant, currency, at)


async def drop_erased(
    versions: Versions, tenant: str, model_id: str, version: int, written: Collection[str], known: Collection[str]
) -> None:
    """Drop what a fit has ``written`` of customers who are not ``known`` any more, as what they did became a
    pseudonym's since the fit began."""
    await versions.drop(tenant, model_id, version, sorted(set(written) - set(known)))
