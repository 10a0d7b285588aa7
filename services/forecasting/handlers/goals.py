"""Set goals, and say how they stand: what has come, what is expected, and how probably the target is reached."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

from services.common.clock import Clock, from_micros, to_micros
from services.forecasting.domain.demand import GOAL_DAYS_MAX, GOALS_MAX, Goal, GoalInvalid, GoalProgress, TooManyGoals
from services.forecasting.domain.forecasts import panel_of
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import Periods, zone_named
from services.forecasting.domain.series import Panel, Selection, check_dimension, check_event_name
from services.forecasting.handlers.get_series import get_series
from services.forecasting.handlers.histories import Histories, histories
from services.forecasting.handlers.known_ahead import Choice, KnownAhead, read_known_ahead
from services.forecasting.ports import Drivers, Goals, Lines, Requests

_SHARE = 0.8
_DAILY_MAX = 366


@dataclass(frozen=True, slots=True)
class GoalKeeping:
    """What goals need from outside."""

    lines: Lines
    drivers: Drivers
    goals: Goals
    requests: Requests
    clock: Clock


async def create_goal(keeping: GoalKeeping, tenant: str, request_id: str, fingerprint: str, goal: Goal) -> Goal:
    """Keep the goal; a request that came before gets the goal of then. Refusals as in the contract."""
    _check(goal)
    answer = await keeping.requests.replayed(tenant, request_id, fingerprint)
    if answer is None:
        if await keeping.goals.count(tenant) >= GOALS_MAX:
            raise TooManyGoals(f"there are {GOALS_MAX} goals already; delete one first", maximum=GOALS_MAX)
        answer = {"goal_id": f"goal_{uuid.uuid4().hex}", "create_time": to_micros(keeping.clock())}
        await keeping.requests.remember(tenant, request_id, fingerprint, answer)
    made = Goal(**{**_fields(goal), **answer})
    await keeping.goals.put(tenant, made)
    return made


def _fields(goal: Goal) -> dict[str, object]:
    return {name: getattr(goal, name) for name in Goal.__slots__}


def _check(goal: Goal) -> None:
    zone_named(goal.time_zone)
    check_event_name(goal.measure, goal.event_name)
    check_dimension(goal.measure, goal.dimension)
    if goal.measure is Measure.ACTIVE_CUSTOMERS:
        raise GoalInvalid(
            "a customer of several days counts once: the days of a goal do not add up; take VISITS or ORDERS",
            field="measure",
        )
    if not 0 < goal.target < 1e18:
        raise GoalInvalid("the target must lie above zero", field="target")
    if goal.last < goal.first:
        raise GoalInvalid("the goal ends before it begins", field="last_date")
    if (goal.last - goal.first).days >= GOAL_DAYS_MAX:
        raise GoalInvalid(f"a goal spans at most {GOAL_DAYS_MAX} days", field="last_date")
    if goal.dimension is Dimension.TOTAL and goal.value:
        raise GoalInvalid("the total has no value; leave it empty", field="value")


async def list_goals(keeping: GoalKeeping, tenant: str, limit: int, after: str) -> tuple[Sequence[GoalProgress], str]:
    """A page of goals with how they stand, and the token of the next."""
    goals, token = await keeping.goals.page(tenant, limit, after)
    return [await _progress(keeping, tenant, goal) for goal in goals], token


async def _progress(keeping: GoalKeeping, tenant: str, goal: Goal) -> GoalProgress:
    values = () if goal.dimension is Dimension.TOTAL else (goal.value,)
    days = Selection(
        goal.measure, goal.dimension, Granularity.DAY, values, goal.currency, goal.time_zone, goal.event_name
    )
    panel = await get_series(keeping.lines, tenant, days)
    if panel is None:
        return GoalProgress(
            goal,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            (goal.last - goal.first).days + 1,
            (f"There are no {'orders' if goal.measure.of_orders else 'events'} yet.",),
        )
    actual, left, ahead = _so_far(panel, goal)
    if not left:
        return GoalProgress(goal, actual, actual, actual, actual, float(actual >= goal.target), 0, ())
    past = histories(panel, min(ahead, _DAILY_MAX))
    if not past or not past.series:
        return GoalProgress(goal, actual, actual, actual, actual, 0.0, left, ("There is no history to forecast from.",))
    key, choice = panel_of(days, len(past.ahead)), Choice(refusing=False)
    known = await read_known_ahead(keeping.lines, keeping.drivers, tenant, key, past, choice=choice)
    mean, deviation, notes = await asyncio.to_thread(_remaining, past, known, ahead, left)
    expected = actual + mean
    spread = NormalDist(expected, max(deviation, 1e-9))
    floor = actual if min(next(iter(past.series.values()))) >= 0 else float("-inf")
    lower, upper = spread.inv_cdf(1 - _SHARE), spread.inv_cdf(_SHARE)
    return GoalProgress(goal, actual, expected, max(lower, floor), upper, 1 - spread.cdf(goal.target), left, notes)


def _so_far(panel: Panel, goal: Goal) -> tuple[float, int, int]:
    """What has come in complete days, how many days are left, and how many there are from the first that is not
    complete to the end."""
    complete = panel.complete_count()
    dates = [start.date() for start in panel.periods.dates()]
    known = panel.figures[0, :complete].tolist()
    actual = float(sum(figure for day, figure in zip(dates, known, strict=False) if goal.first <= day <= goal.last))
    following = dates[complete] if complete < len(dates) else _date(panel.periods, panel.periods.end)
    return actual, max(0, (goal.last - max(following, goal.first)).days + 1), (goal.last - following).days + 1


def _remaining(past: Histories, known: KnownAhead, ahead: int, left: int) -> tuple[float, float, Sequence[str]]:
    """What the last ``left`` of ``ahead`` days are expected to bring, and how far that may be off."""
    [(name, forecast)] = past.by_name(known.holidays, known.drivers).items()
    notes = (*past.notes.get(name, ()), *known.drivers.warnings.get(name, ()))
    steps = len(forecast.points)
    inside = forecast.points[-min(left, steps) :]
    mean, deviation = float(inside.sum()), forecast.total_deviation * len(inside) / steps
    if ahead <= steps:
        return mean, deviation, notes
    share = left / len(inside)
    note = f"The end is {ahead} days ahead: beyond {steps} days the forecast repeats its mean."
    return mean * share, deviation * share, (*notes, note)


def _date(periods: Periods, instant: int) -> date:
    return from_micros(instant).astimezone(periods.zone).date()


def parsed(text: str, field: str) -> date:
    """The day; ``GoalInvalid``."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise GoalInvalid(f"there is no day {text}", field=field) from error
