"""What a media mix model is fitted to: spend and sales by region and period."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import numpy as np

from services.common.clock import from_micros, to_micros
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.media_mix import (
    ACTIVE_PERIODS_MIN,
    CHANNELS_MAX,
    PERIODS_MAX,
    PERIODS_MIN,
    REGIONS_MAX,
    Array,
    MediaMixOptions,
    Observed,
    SpendChannel,
    TooLittleSpend,
)
from services.forecasting.domain.periods import Periods, WindowInvalid, periods_between, zone_named
from services.forecasting.domain.series import Extent, Selection
from services.forecasting.ports import Lines, SpendRecords

_EPOCH = date(1970, 1, 1).toordinal()


async def observe(lines: Lines, records: SpendRecords, tenant: str, options: MediaMixOptions) -> Observed:
    """Spend and sales of the complete periods; refusals as in the contract."""
    extent = await lines.extent(tenant)
    known = await records.channels(tenant)
    if extent is None or not known:
        raise TooLittleSpend("there is no spend, or there are no orders: record both first")
    currency = _currency(extent, options)
    periods = _periods(extent, [it for it in known if currency in it.amounts], options)
    dates = [start.date() for start in periods.dates()]
    last = _day_before(periods)
    spend = await records.spend(tenant, currency, dates[0], last)
    regions = sorted(set(options.store_regions.values())) if options.store_regions else [""]
    if len(regions) > REGIONS_MAX:
        raise TooLittleSpend(f"{len(regions)} regions are too many; {REGIONS_MAX} at most")
    sales = _sales(await records.sales(tenant, currency, periods), periods, regions, options.store_regions)
    channels, money = _spend(spend, dates, regions, sales)
    _check(channels)
    return Observed(currency, dates, last, regions, channels, sales, money)


def _currency(extent: Extent, options: MediaMixOptions) -> str:
    sales = Selection(Measure.SALES, Dimension.TOTAL, Granularity.DAY, currency=options.currency)
    return extent.currency(sales)


def _periods(extent: Extent, known: Sequence[SpendChannel], options: MediaMixOptions) -> Periods:
    """The whole periods in which there may be both orders and spend."""
    if not known:
        raise TooLittleSpend("there is no spend in the currency of the sales")
    zone = zone_named(options.time_zone)
    granularity = Granularity.DAY if options.daily else Granularity.WEEK
    opened, closed = (from_micros(time).astimezone(zone).date() for time in (extent.first_time, extent.last_time))
    begun, ended = min(it.first for it in known), max(it.last for it in known)
    if not options.daily:  # spend is often booked on one day of the week that it is for
        begun, ended = begun - timedelta(days=begun.weekday()), ended + timedelta(days=6 - ended.weekday())
    first, last = options.first or max(begun, opened), options.last or min(ended, closed)
    if last < first:
        raise WindowInvalid("the span ends before it starts", field="last_date")
    if (last - first).days > PERIODS_MAX * 7:
        raise TooLittleSpend(f"the span is too long; {PERIODS_MAX} periods at most")
    if not options.daily:  # weeks that begin and end within the span
        first += timedelta(days=-first.weekday() % 7)
        last -= timedelta(days=(last.weekday() + 1) % 7)
    count = (last - first).days // (1 if options.daily else 7) + 1
    if not PERIODS_MIN <= count <= PERIODS_MAX:
        raise TooLittleSpend(
            f"the span has {max(count, 0)} whole periods; {PERIODS_MIN} to {PERIODS_MAX} are needed", periods=count
        )
    instants = [to_micros(from_date(day, options.time_zone)) for day in (first, last)]
    return periods_between(granularity, zone, *instants)


def from_date(day: date, time_zone: str) -> datetime:
    """The noon of a day, which is on that day in every clock."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=zone_named(time_zone))


def _day_before(periods: Periods) -> date:
    end = from_micros(periods.end).astimezone(periods.zone).date()
    return end - timedelta(days=1)


def _sales(
    rows: Sequence[tuple[str, int, int]], periods: Periods, regions: Sequence[str], of_store: Mapping[str, str] | None
) -> Array:
    sales = np.zeros((len(regions), len(periods)))
    place = {name: row for row, name in enumerate(regions)}
    keys = np.array(periods.keys)
    for store, bucket, amount in rows:
        region = of_store.get(store) if of_store else ""
        if region is not None:
            sales[place[region], np.searchsorted(keys, bucket, side="right") - 1] += amount
    empty = [name for name, row in place.items() if not sales[row].any()]
    if empty:
        raise TooLittleSpend(f"the region {empty[0] or 'of all stores'} has no sales in the span", region=empty[0])
    return sales


def _spend(
    rows: Sequence[tuple[str, str, int, int]], dates: Sequence[date], regions: Sequence[str], sales: Array
) -> tuple[list[str], Array]:
    channels = sorted({channel for channel, *_ in rows})
    columns = {name: column for column, name in enumerate(channels)}
    place = {name: row for row, name in enumerate(regions)}
    starts = np.array([day.toordinal() - _EPOCH for day in dates])
    money = np.zeros((len(regions), len(dates), len(channels)))
    share = sales.sum(axis=1) / sales.sum()
    for channel, region, day, amount in rows:
        period = int(np.searchsorted(starts, day, side="right")) - 1
        if regions == [""] or region in place:
            money[place.get(region, 0), period, columns[channel]] += amount
        elif not region:
            money[:, period, columns[channel]] += amount * share
    active = (money > 0).any(axis=0).sum(axis=0) >= ACTIVE_PERIODS_MIN
    return [name for name, kept in zip(channels, active, strict=True) if kept], money[:, :, active]


def _check(channels: Sequence[str]) -> None:
    if not 1 <= len(channels) <= CHANNELS_MAX:
        raise TooLittleSpend(
            f"{len(channels)} channels have spend in {ACTIVE_PERIODS_MIN} periods; 1 to {CHANNELS_MAX} are needed"
        )
