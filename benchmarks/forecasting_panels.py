"""Panels of public data for forecasts with drivers, and how each of them is scored where it was published.

Every panel holds out its own end; whatever a forecast may know of that end is listed in ``known``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from services.forecasting.domain.holidays import WESTERN, HolidayCalendar
from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.seasons import RHYTHMS, calendar_features, date_features, season_length
from services.forecasting.domain.year_ago import year_ago
from services.forecasting.learning.histories import FloatArray, IntArray, side_by_side
from services.forecasting.learning.lagged import Known
from services.forecasting.learning.seasonality import find_season

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
WALMART_AHEAD, ROSSMANN_AHEAD = 39, 42
HOLIDAY_WEIGHT = 5.0
SUPER_BOWLS = (date(2009, 2, 1), date(2010, 2, 7), date(2011, 2, 6), date(2012, 2, 5), date(2013, 2, 3))


@dataclass(frozen=True)
class Task:
    """What is forecast, what came, and the score, of which less is better."""

    series: list[FloatArray]
    actual: FloatArray
    counted: FloatArray
    """By series and step: the weight of the cell in the score, 0 where there is no figure."""
    period: int
    calendar: FloatArray
    known: Known
    score: Callable[[FloatArray], float]
    naive: FloatArray
    """The peer's forecast, by series and step."""


def walmart(sample: int = 1, held_out: int = 0, ahead: int = WALMART_AHEAD) -> Task:
    """Weekly sales by store and department, every ``sample``-th store, the last 39 weeks (``ahead``) held out; weeks
    with holidays count five times (WMAE).
    With ``held_out`` the end of the data lies so many weeks earlier, to tune on."""
    rows = pd.read_parquet(DATA / "walmart" / "train.parquet")
    rows = rows[(rows["Store"] - 1) % sample == 0]
    wide = rows.pivot_table(index=["Store", "Dept"], columns="Date", values="Weekly_Sales", aggfunc="sum")
    wide = wide.iloc[:, : wide.shape[1] - held_out]
    holiday = rows.groupby("Date")["IsHoliday"].first().reindex(wide.columns).to_numpy(dtype=np.float64)
    cut = wide.shape[1] - ahead
    wide = wide[(wide.iloc[:, :cut].fillna(0) != 0).any(axis=1)]
    figures, actual = wide.fillna(0.0).to_numpy(), wide.iloc[:, cut:].to_numpy()
    counted = np.where(np.isfinite(actual), 1 + (HOLIDAY_WEIGHT - 1) * holiday[cut:], 0.0)
    # A row's Friday ends its week, so that the holiday lies in the six days before it or on it.
    days = [stamp.to_pydatetime() for stamp in wide.columns]
    series = [_from_first(row[:cut]) for row in figures]
    groups = np.stack([wide.index.get_level_values(level).to_numpy() for level in ("Store", "Dept")], axis=1)
    dates = np.column_stack([date_features(Granularity.WEEK, days), holiday])
    before = year_ago([day - timedelta(days=6) for day in days], _walmart_days([day.year for day in days]))
    drivers = np.zeros((len(series), len(days), 0))
    known = Known(RHYTHMS[Granularity.WEEK], dates, drivers, (), _numbered(groups), before)
    return Task(
        series,
        np.nan_to_num(actual),
        counted,
        season_length(Granularity.WEEK, cut),
        holiday[:, None],
        known,
        lambda found: float((np.abs(found - np.nan_to_num(actual)) * counted).sum() / counted.sum()),
        figures[:, cut - 52 : cut - 52 + ahead],
    )


def _walmart_days(years: Sequence[int]) -> HolidayCalendar:
    """The days of most of the West, and the Super Bowl, as its organisers announced it."""
    named: dict[str, list[date]] = {"super_bowl": list(SUPER_BOWLS)}
    for year in range(min(years) - 1, max(years) + 2):
        for day, name in WESTERN.of(year).items():
            named.setdefault(name, []).append(day)
    return HolidayCalendar(days=tuple((name, tuple(days)) for name, days in named.items()))


def rossmann(sample: int = 1, held_out: int = 0) -> Task:
    """Daily sales by store, every ``sample``-th store, the last six weeks held out, scored by the root mean squared
    percentage error of days with sales. Promotions, holidays of the state and of schools, and opening days are
    known."""
    rows = pd.read_parquet(DATA / "rossmann" / "train.parquet")
    rows = rows[(rows["Store"] - 1) % sample == 0]
    days = pd.date_range(rows["Date"].min(), rows["Date"].max() - pd.Timedelta(days=held_out))
    sales = rows.pivot_table(index="Store", columns="Date", values="Sales").reindex(columns=days)
    rows = rows.assign(state=(rows["StateHoliday"] != "0").astype(float))

    def of(column: str) -> FloatArray:
        wide = rows.pivot_table(index="Store", columns="Date", values=column).reindex(columns=days)
        return wide.to_numpy(dtype=np.float64)

    # What a chain plans for the day, where a store itself is closed; and whether it is open.
    promotion = np.nan_to_num(of("Promo")).max(axis=0)[None, :].repeat(len(sales), axis=0)
    drivers = np.stack(
        [promotion, np.nan_to_num(of("SchoolHoliday")), np.nan_to_num(of("state")), np.isfinite(sales.to_numpy())],
        axis=2,
    ).astype(np.float64)
    stores = pd.read_parquet(DATA / "rossmann" / "stores.parquet").set_index("Store").loc[sales.index]
    groups = np.stack([pd.factorize(stores[name])[0] for name in ("StoreType", "Assortment")], axis=1)
    figures, cut = sales.fillna(0.0).to_numpy(), len(days) - ROSSMANN_AHEAD
    actual = figures[:, cut:]
    counted = (actual > 0).astype(np.float64)
    stamps = [stamp.to_pydatetime() for stamp in days]
    return Task(
        [row[:cut] for row in figures],
        actual,
        counted,
        7,
        calendar_features(Granularity.DAY, stamps),
        Known(
            RHYTHMS[Granularity.DAY],
            date_features(Granularity.DAY, stamps),
            drivers,
            ("promotion", "school_holiday", "state_holiday", "open"),
            _numbered(groups),
        ),
        lambda found: _rmspe(found, actual),
        np.stack([figures[:, cut - 14 + step % 14] for step in range(ROSSMANN_AHEAD)], axis=1),
    )


def m4(which: str, sample: int = 1, held_out: int = 0) -> Task:
    """The weekly or the hourly series of the M4 competition, every ``sample``-th, scored by OWA beside Naive2 on the
    same series (1 is Naive2). With ``held_out`` (at least as many as are forecast) the data of those that are long
    enough end so many periods earlier."""
    weekly = which == "weekly"
    rows = pd.read_parquet(DATA / "m4_weekly_hourly" / f"{which}.parquet").astype({"id": str})
    names = sorted(rows["id"].unique(), key=lambda name: int(name[1:]))[::sample]
    rows = rows[rows["id"].isin(names)]
    ahead, season = (13, 1) if weekly else (48, 24)
    past = [rows[(rows["id"] == name) & ~rows["is_test"]]["y"].to_numpy() for name in names]
    future = np.stack([rows[(rows["id"] == name) & rows["is_test"]]["y"].to_numpy() for name in names])
    if held_out:
        past = [one for one in past if len(one) - held_out >= 2 * ahead]
        past, future = [one[:-held_out] for one in past], np.stack([one[-held_out:][:ahead] for one in past])
    granularity = Granularity.WEEK if weekly else Granularity.HOUR
    series = [one[-_HISTORY_MAX:] for one in past]
    longest = max(len(one) for one in series)
    naive = _naive2(series, season, ahead)
    scale = np.array([np.abs(one[season:] - one[:-season]).mean() for one in past])[:, None]

    def errors(found: FloatArray) -> tuple[float, float]:
        size = np.abs(found - future)
        return float((2 * size / (np.abs(found) + np.abs(future))).mean()), float((size / scale).mean())

    return Task(
        series,
        future,
        np.ones_like(future),
        season_length(granularity, longest),
        np.zeros((longest + ahead, 0)),
        Known(
            RHYTHMS[granularity],
            np.zeros((longest + ahead, 0)),
            np.zeros((len(series), longest + ahead, 0)),
            (),
            np.zeros((len(series), 0), dtype=np.int64),
        ),
        lambda found: float(
            np.mean([ours / theirs for ours, theirs in zip(errors(found), errors(naive), strict=True)])
        ),
        naive,
    )


_HISTORY_MAX = 1_000


def _naive2(series: list[FloatArray], period: int, horizon: int) -> FloatArray:
    histories, places = side_by_side(series)
    season = find_season(histories, period)
    last = np.repeat(season.adjust(histories).values[-1][:, None], horizon, axis=1)
    return season.restore(last)[places]


def _from_first(figures: FloatArray) -> FloatArray:
    return figures[int(np.flatnonzero(figures)[0]) :]


def _numbered(groups: np.ndarray) -> IntArray:
    return np.stack([np.unique(column, return_inverse=True)[1] for column in groups.T], axis=1).astype(np.int64)


def _rmspe(found: FloatArray, actual: FloatArray) -> float:
    sold = actual > 0
    return float(np.sqrt((((found - actual)[sold] / actual[sold]) ** 2).mean()))
