"""Add up order lines or events by period, in total or by category."""

from collections.abc import Sequence
from dataclasses import replace

from services.common.clock import from_micros
from services.forecasting.domain.measures import Dimension
from services.forecasting.domain.periods import DAY, WindowInvalid, periods_between, zone_named
from services.forecasting.domain.series import Extent, Panel, Selection, TooManySeries, fold
from services.forecasting.ports import Lines

FIGURES_MAX = 5_000_000
LATEST = 73_000 * DAY
"""The end of the year 2169: later instants are mistakes."""


async def get_series(
    lines: Lines,
    tenant: str,
    selection: Selection,
    first: int | None = None,
    end: int | None = None,
    as_of: int | None = None,
) -> Panel | None:
    """The series, all with the same periods; ``None`` without any order (or event). ``as_of``: up to this moment, so
    that no period is complete that ends later. Refusals as in the contract."""
    zone = zone_named(selection.time_zone)
    _check(first, end)
    extent = await lines.extent(tenant, selection)
    if extent is None:
        return None
    if as_of is not None:
        _check_past(as_of, extent)
        if as_of < extent.first_time:
            return None
        extent = replace(extent, last_time=as_of)
    currency = extent.currency(selection)
    begin = extent.first_time if first is None else first
    last = extent.last_time if end is None else end - 1
    periods = periods_between(selection.granularity, zone, begin, last)
    sums = await lines.sums(tenant, selection, periods)
    values = _values(selection, sums.values)
    if len(values) * len(periods) > FIGURES_MAX:
        raise TooManySeries(
            f"{len(values)} series of {len(periods)} periods are more than {FIGURES_MAX:,} figures; name values, or "
            "ask for fewer periods",
            field="values",
        )
    return Panel(periods, values, fold(sums, periods, values), currency, extent.first_time, extent.last_time)


def _values(selection: Selection, found: Sequence[str]) -> tuple[str, ...]:
    if selection.dimension is Dimension.TOTAL:
        return ("",)
    return tuple(sorted(set(selection.values) or set(found)))


def check_instant(instant: int | None, field: str) -> None:
    """``WindowInvalid``, which names the field, for a moment (microseconds) of no calendar that is known."""
    if instant is not None and not 0 <= instant <= LATEST:
        raise WindowInvalid("the time must lie between 1970 and 2169", field=field)


def _check_past(as_of: int, extent: Extent) -> None:
    check_instant(as_of, "as_of_time")
    if as_of > extent.last_time:
        raise WindowInvalid(
            f"nothing is known yet of so late a moment: the newest order or event is of "
            f"{from_micros(extent.last_time).isoformat()}; leave the moment out",
            field="as_of_time",
        )


def _check(first: int | None, end: int | None) -> None:
    for field, instant in (("start_time", first), ("end_time", end)):
        check_instant(instant, field)
    if first is not None and end is not None and end <= first:
        raise WindowInvalid("the window ends before it starts", field="end_time")
