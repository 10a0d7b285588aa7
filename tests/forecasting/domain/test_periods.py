"""Periods are those of the calendar and of the zone."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.clock import from_micros, to_micros
from services.forecasting.domain.holidays import WESTERN, western
from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.periods import (
    DAY,
    HOUR,
    Periods,
    TimeZoneUnknown,
    WindowInvalid,
    periods_between,
    periods_from,
    zone_named,
)
from services.forecasting.domain.seasons import calendar_features, season_length
from tests.forecasting.conftest import instant

UTC_ZONE = zone_named("")


def micros(text: str) -> int:
    return to_micros(instant(text))


def local_starts(periods: Periods) -> list[str]:
    return [start.strftime("%Y-%m-%d %H:%M") for start in periods.dates()]


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    first, last = micros("2026-12-30T12:00"), micros("2027-01-04T00:00")
    assert local_starts(periods_between(Granularity.WEEK, UTC_ZONE, first, last)) == [
        "2026-12-28 00:00",
        "2027-01-04 00:00",
    ]
    assert local_starts(periods_between(Granularity.MONTH, UTC_ZONE, first, last)) == [
        "2026-12-01 00:00",
        "2027-01-01 00:00",
    ]


def test_a_day_has_23_or_25_hours_where_the_clock_is_changed() -> None:
    zone = zone_named("Europe/Berlin")
    spring = periods_between(Granularity.DAY, zone, micros("2026-03-29T12:00"), micros("2026-03-29T12:00"))
    autumn = periods_between(Granularity.DAY, zone, micros("2026-10-25T12:00"), micros("2026-10-25T12:00"))
    assert spring.end - spring.starts[0] == 23 * HOUR
    assert autumn.end - autumn.starts[0] == 25 * HOUR
    hours = periods_between(Granularity.HOUR, zone, autumn.starts[0], autumn.end - 1)
    assert len(hours) == 25
    assert local_starts(hours)[1:5] == ["2026-10-25 01:00", "2026-10-25 02:00", "2026-10-25 02:00", "2026-10-25 03:00"]


def test_hours_of_a_zone_between_whole_hours_begin_on_its_hours() -> None:
    hours = periods_between(
        Granularity.HOUR, zone_named("Asia/Kolkata"), micros("2026-03-02T00:10"), micros("2026-03-02T00:40")
    )
    assert local_starts(hours) == ["2026-03-02 05:00", "2026-03-02 06:00"]


@settings(max_examples=40)
@given(
    st.sampled_from(Granularity),
    st.sampled_from(["", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland", "America/Sao_Paulo"]),
    st.datetimes(datetime(1990, 1, 1), datetime(2035, 1, 1)),
    st.integers(0, 200),
)
def test_periods_follow_each_other_and_every_instant_is_in_the_one_that_its_bucket_says(
    granularity: Granularity, zone: str, first: datetime, later: int
) -> None:
    begin = micros(first.isoformat())
    last = begin + later * HOUR
    periods = periods_between(granularity, zone_named(zone), begin, last)
    assert periods.starts[0] <= begin
    assert periods.starts[-2] <= last < periods.end
    assert list(periods.starts) == sorted(set(periods.starts))
    assert list(periods.keys) == sorted(set(periods.keys))
    for index, start in enumerate(periods.starts[:-1]):
        for inside in (start, (start + periods.starts[index + 1]) // 2, periods.starts[index + 1] - 1):
            bucket = periods.buckets.of(inside)
            assert bucket >= periods.keys[index]
            assert index + 1 == len(periods) or bucket < periods.keys[index + 1]


def test_the_periods_ahead_begin_where_the_last_one_ends() -> None:
    week = periods_between(Granularity.WEEK, UTC_ZONE, micros("2026-03-04"), micros("2026-03-04"))
    ahead = periods_from(Granularity.WEEK, UTC_ZONE, week.end, 3)
    assert ahead.starts[0] == week.end
    assert len(ahead) == 3
    assert ahead.end - ahead.starts[0] == 21 * DAY


def test_zones_and_windows_that_cannot_be_are_refused() -> None:
    for name in ("Mars/Olympus", "../etc/passwd", "Europe/"):
        with pytest.raises(TimeZoneUnknown):
            zone_named(name)
    with pytest.raises(WindowInvalid):
        periods_between(Granularity.DAY, UTC_ZONE, 10 * DAY, 9 * DAY)
    with pytest.raises(WindowInvalid, match="20000 periods"):
        periods_between(Granularity.HOUR, UTC_ZONE, 0, 20_000 * HOUR)
    assert len(periods_between(Granularity.HOUR, UTC_ZONE, 0, 20_000 * HOUR - 1)) == 20_000


def test_holidays_are_where_their_rules_put_them() -> None:
    named = {name: day for day, name in western(2017).items()}
    assert named["easter"] == date(2017, 4, 16)
    assert named["thanksgiving"] == date(2017, 11, 23)
    assert named["memorial_day"] == date(2017, 5, 29)
    assert named["labor_day"] == date(2017, 9, 4)
    assert [max(day for day, name in western(year).items() if name == "easter") for year in (2024, 2025, 2026)] == [
        date(2024, 3, 31), date(2025, 4, 20), date(2026, 4, 5)
    ]  # fmt: skip
    assert not WESTERN.is_holiday(date(2017, 8, 15))


def test_features_have_one_row_a_period_and_know_the_year_only_where_years_are_there() -> None:
    start = from_micros(micros("2024-01-01"))
    for granularity in Granularity:
        features = calendar_features(granularity, [start + timedelta(days=day) for day in range(10)])
        assert len(features) == 10
    years = calendar_features(Granularity.DAY, [start + timedelta(days=day) for day in range(1000)])
    assert years.shape[1] == calendar_features(Granularity.DAY, [start]).shape[1] + 6


def test_a_season_is_as_long_as_the_history_can_tell() -> None:
    assert season_length(Granularity.WEEK, 52) == 1
    assert season_length(Granularity.WEEK, 156) == 52
    assert season_length(Granularity.MONTH, 36) == 12
    assert season_length(Granularity.HOUR, 72) == 24
    assert season_length(Granularity.HOUR, 1000) == 168
    assert season_length(Granularity.DAY, 5) == 7
