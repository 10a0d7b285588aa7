"""What a year ago was: the same dates, the same holiday, and no holiday that has moved away."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.forecasting.domain.holidays import HolidayCalendar
from services.forecasting.domain.year_ago import year_ago


def of(day: str, calendar: HolidayCalendar | None = None) -> dict[int, float]:
    start = [datetime.fromisoformat(day)]
    found = year_ago(start) if calendar is None else year_ago(start, calendar)
    return {int(lag): float(share) for lag, share in zip(found.lags[0], found.shares[0], strict=True) if share > 0}


def test_the_same_dates_lie_in_two_weeks() -> None:
    assert of("2023-07-31") == pytest.approx({52: 6 / 7, 53: 1 / 7})  # 365 days are 52 weeks and a day
    assert of("2024-07-29") == pytest.approx({52: 5 / 7, 53: 2 / 7})  # a leap day lies between them


def test_christmas_is_its_dates_and_thanksgiving_its_week() -> None:
    assert of("2023-12-18") == pytest.approx({52: 6 / 7, 53: 1 / 7})
    assert of("2023-11-20") == {52: 1.0}  # the 23rd, after the 24th of November 2022
    assert of("2024-11-25") == {53: 1.0}  # the 28th, after the 23rd of November 2023


def test_easter_is_that_of_the_year_before_and_no_other_week_has_it() -> None:
    assert of("2024-03-25") == {51: 1.0}  # the 31st of March, after the 9th of April
    after = of("2024-04-01")  # 52 and 53 weeks before it began the 3rd of April, with Easter, and the 27th of March
    assert after == {53: 1.0}


def test_days_of_the_retailers_own_move_with_it() -> None:
    fair = (datetime(2023, 5, 6).date(), datetime(2024, 6, 15).date())
    assert of("2024-06-10", HolidayCalendar(days=(("fair", fair),))) == {58: 1.0}


@given(st.dates(datetime(1990, 1, 1).date(), datetime(2060, 1, 1).date()))
def test_shares_sum_to_one_and_weeks_lie_in_the_past(day: object) -> None:
    starts = [datetime.fromisoformat(str(day)) + timedelta(days=7 * week) for week in range(60)]
    found = year_ago(starts)
    assert found.shares.sum(axis=1) == pytest.approx(np.ones(60))
    assert found.shares.min() >= 0
    assert found.lags.min() > 40
