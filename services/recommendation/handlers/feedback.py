"""Record what became of lists, report it, and try versions of a placement against each other."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log2

from services.common.errors import AlreadyExists, Conflict
from services.recommendation.domain.drift import ListDrift
from services.recommendation.domain.drift_settings import USUAL, DriftSettings
from services.recommendation.domain.examination import Examination
from services.recommendation.domain.experiment import (
    Difference,
    Experiment,
    ExperimentExists,
    ExperimentNotFound,
    Outcome,
    against_first,
    check_experiment,
)
from services.recommendation.domain.feedback import DAY, Feedback, PeriodInvalid, check_feedback
from services.recommendation.handlers.drift import measure_list_drift
from services.recommendation.handlers.exploration import ExplorationReport, exploration_report
from services.recommendation.handlers.placements import get_placement
from services.recommendation.ports import (
    Catalogue,
    Experiments,
    FeedbackLog,
    Period,
    Placements,
    ReportRows,
    Request,
    Requests,
)

PERIOD_DAYS_MAX = 400
Key = tuple[int, int, str, int, str, str]
"""Day, scenario, placement, version, experiment, variant."""


@dataclass(slots=True)
class Figures:
    """What became of lists of one kind; revenue by currency, in minor units."""

    impressions: int = 0
    clicks: int = 0
    carts: int = 0
    purchases: int = 0
    order_items: int = 0
    examined: float = 0.0
    """Looks at a first place that the impressions were worth, of those whose places are known."""
    placed_clicks: int = 0
    """Clicks in those places."""
    revenue: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Figures by kind of list, in order, and all together."""

    rows: list[tuple[Key, Figures]]
    total: Figures
    coverage: float
    novelty: float
    exploration: ExplorationReport | None
    drift: ListDrift
    examination: Examination


@dataclass(frozen=True)
class ExperimentReport:
    """What an experiment shows, in the order of its variants."""

    experiment: Experiment
    outcomes: list[Outcome]
    differences: Sequence[tuple[Difference, Difference, Difference] | None]
    currency: str


async def record_feedback(
    log: FeedbackLog, requests: Requests, request: Request, events: list[Feedback], now: int
) -> None:
    """Record each event once. ``FeedbackInvalid``."""
    check_feedback(events, now)
    if await requests.replayed(request) is not None:
        return
    # The events first: if the request is lost in between, it comes again, and they are known by their ids.
    await log.record(request, events)
    await requests.remember(request, {})


def check_period(period: Period) -> None:
    """``PeriodInvalid``."""
    if not 0 < period.end - period.start <= PERIOD_DAYS_MAX * DAY:
        raise PeriodInvalid(f"the period must end after it begins, and hold {PERIOD_DAYS_MAX} days at most")


async def get_recommendation_report(
    log: FeedbackLog, catalogue: Catalogue, tenant: str, period: Period, settings: DriftSettings = USUAL
) -> Report:
    """What became of lists. ``PeriodInvalid``."""
    check_period(period)
    read = await log.report(tenant, period)
    rows = _by_key(read)
    total = Figures()
    for figures in rows.values():
        _add(total, figures)
    shelf = await catalogue.shelf(tenant)
    shown = [row["item_id"] for row in read.items if row["item_id"] in shelf]
    coverage = len(shown) / shelf.item_count if shelf.item_count else 0.0
    exploration = await asyncio.to_thread(exploration_report, read.explored, total.impressions)
    drift = await measure_list_drift(log, catalogue, tenant, period, settings)
    examination = await log.examination(tenant, period.placement_id)
    return Report(sorted(rows.items()), total, coverage, _novelty(read), exploration, drift, examination)


def _by_key(read: ReportRows) -> dict[Key, Figures]:
    rows: dict[Key, Figures] = {}
    for row in read.events:
        names = "impressions", "clicks", "carts", "purchases", "examined", "placed_clicks"
        rows[_key(row)] = Figures(**{name: row[name] for name in names})
    for row in read.orders:
        figures = rows.setdefault(_key(row), Figures())
        figures.order_items += row["items"]
        figures.revenue[row["currency"]] = figures.revenue.get(row["currency"], 0) + int(row["amount"])
    return rows


def _key(row: dict[str, object]) -> Key:
    names = ("day", "scenario", "placement_id", "placement_version", "experiment_id", "variant")
    return tuple(row[name] for name in names)  # type: ignore[return-value]  # the query has these columns, so typed


def _add(total: Figures, figures: Figures) -> None:
    total.impressions += figures.impressions
    total.clicks += figures.clicks
    total.carts += figures.carts
    total.purchases += figures.purchases
    total.order_items += figures.order_items
    total.examined += figures.examined
    total.placed_clicks += figures.placed_clicks
    for currency, amount in figures.revenue.items():
        total.revenue[currency] = total.revenue.get(currency, 0) + amount


def _novelty(read: ReportRows) -> float:
    shown = sum(row["count"] for row in read.items)
    if not shown or not read.customer_count:
        return 0.0
    bits = sum(row["count"] * -log2((row["buyers"] or 0.5) / read.customer_count) for row in read.items)
    return float(bits / shown)


async def start_experiment(
    experiments: Experiments, placements: Placements, requests: Requests, request: Request, wanted: Experiment, now: int
) -> Experiment:
    """Let a placement's versions run against each other. ``ExperimentInvalid``, ``PlacementNotFound``,
    ``ExperimentExists``."""
    check_experiment(wanted)
    if await requests.replayed(request) is not None:
        return await _found(experiments, request.tenant, wanted.experiment_id)
    await get_placement(placements, request.tenant, wanted.placement_id)
    for variant in wanted.variants:
        await get_placement(placements, request.tenant, wanted.placement_id, variant.placement_version)
    started = replace(wanted, start_time=now, end_time=0)
    try:
        await experiments.start(request, started)
    except AlreadyExists:
        if await requests.replayed(request) is not None:
            return await _found(experiments, request.tenant, wanted.experiment_id)
        running = await experiments.running(request.tenant, wanted.placement_id)
        name = running.experiment_id if running else wanted.experiment_id
        raise ExperimentExists(
            f"experiment {name} exists, or runs on placement {wanted.placement_id}; choose another id, or stop it",
            experiment_id=name,
        ) from None
    return started


async def stop_experiment(
    experiments: Experiments, requests: Requests, request: Request, experiment_id: str, now: int
) -> Experiment:
    """Let everybody see the version in use; one that was stopped stays as it is. ``ExperimentNotFound``."""
    known = await _found(experiments, request.tenant, experiment_id)
    if known.end_time or await requests.replayed(request) is not None:
        return known
    try:
        await experiments.stop(request, replace(known, end_time=now))
    except (AlreadyExists, Conflict):
        return await _found(experiments, request.tenant, experiment_id)
    return replace(known, end_time=now)


async def get_experiment_report(
    experiments: Experiments, log: FeedbackLog, tenant: str, experiment_id: str
) -> ExperimentReport:
    """What an experiment shows so far. ``ExperimentNotFound``."""
    experiment = await _found(experiments, tenant, experiment_id)
    await log.flush()
    read, currency = await log.outcomes(tenant, experiment)
    outcomes = [read.get(variant.name, Outcome()) for variant in experiment.variants]
    return ExperimentReport(experiment, outcomes, against_first(outcomes), currency)


async def _found(experiments: Experiments, tenant: str, experiment_id: str) -> Experiment:
    found = await experiments.get(tenant, experiment_id)
    if found is None:
        raise ExperimentNotFound(f"there is no experiment {experiment_id}", experiment_id=experiment_id)
    return found
