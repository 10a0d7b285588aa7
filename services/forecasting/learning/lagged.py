"""What a global model sees of a series at an origin: levels, lags and means of the past, and what is known ahead.

A row is a series, an origin (the last period that is known) and a step. Figures are relative to the level of the series
at the origin, so that one model fits series of all sizes. Nothing of a row depends on figures after its origin.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.seasons import Rhythm
from services.forecasting.domain.year_ago import YearAgo
from services.forecasting.learning.histories import FloatArray, IntArray
from services.forecasting.learning.low_rank import Smoothing, groups_large, smoothing

LEVEL, SEASON, CALENDAR = "level", "season", "calendar"
DRIVER_SHIFTS = (0, -1, 1)
"""A driver is seen at the target, before and after it; and as it was when the level was measured."""
_SMALL = 1e-9
_SHARE_OF_LEVEL = 0.1
_BASE_MAX = 5.0
_YEARS_MIN = 3
# By how much smoothing has to better last year's figures: of unrelated series (M4's) it does by a hundredth.
_GAIN_MIN = 0.02
# The week of a holiday a year ago may lie further back than a year.
_YEAR_MARGIN = 6


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of each period, the ones ahead included, from the first period of the longest series on."""

    rhythm: Rhythm
    dates: FloatArray
    """By period and feature: position in the week, the month and the year, holidays."""
    drivers: FloatArray
    """By series, period and driver, all finite."""
    driver_names: tuple[str, ...]
    attributes: IntArray
    """By series and attribute: groups of series, numbered from 0."""
    year_ago: YearAgo | None = None
    """By period: what a year before it was; ``None``: the period that lies ``rhythm.year`` before it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Places in a panel: series, origin and step, one of each a row."""

    series: IntArray
    origins: IntArray
    steps: IntArray

    @property
    def targets(self) -> IntArray:
        """The periods that are forecast."""
        return self.origins + self.steps

    def __len__(self) -> int:
        return len(self.series)

    def only(self, which: npt.NDArray[np.bool_]) -> "Rows":
        """Some of them."""
        return Rows(self.series[which], self.origins[which], self.steps[which])


@dataclass(frozen=True, slots=True)
class Column:
    """One feature: which driver or part it speaks for, and its values."""

    part: str
    values: FloatArray
    categorical: bool = False


class Panel:
    """Series side by side that end together, with running sums for means over any window."""

    def __init__(self, series: list[FloatArray], known: Known) -> None:
        self.length = max(len(one) for one in series)
        self.known = known
        self.smoothing: Smoothing | None = None
        """Of the figures that a year ago is read from; ``None``: they are as they came."""
        self.values = np.full((len(series), self.length), np.nan)
        for row, one in zip(self.values, series, strict=True):
            row[self.length - len(one) :] = one
        self.starts = np.array([self.length - len(one) for one in series], dtype=np.int64)
        self._sums, self._sizes, self._counts = _running(self.values)
        self._groups = [_Group(self.values, column) for column in known.attributes.T if column.max(initial=0) > 0]
        self._driver_sums = np.concatenate(
            [np.zeros((len(series), 1, known.drivers.shape[2])), np.cumsum(known.drivers, axis=1)], axis=1
        )

    @property
    def _years_enough(self) -> bool:
        """Whether dates tell what comes again. Where models start from a year ago, dates that were forecast in one year
        alone tell what was different in that year, which does not come again."""
        rhythm = self.known.rhythm
        return bool(rhythm.seasons) or self.length >= _YEARS_MIN * rhythm.year

    def levels(self, rows: Rows) -> FloatArray:
        """The mean size at each row's origin: that of the recent past, at least a tenth of that of the whole past."""
        recent = _window(self._sizes, self._counts, rows.series, rows.origins, self.known.rhythm.level_window)
        whole = _window(self._sizes, self._counts, rows.series, rows.origins, self.length)
        return np.maximum(np.where(np.isfinite(recent), recent, 0.0), _SHARE_OF_LEVEL * whole)

    def actuals(self, rows: Rows) -> FloatArray:
        """The figures at the rows' targets; NaN where there are none."""
        return self._at(rows.series, rows.targets)

    def base(self, rows: Rows) -> FloatArray:
        """The forecast that a model starts from, relative to the level: the same phase of the last seasons; a year
        ago, where there is no shorter season; 1 where there is nothing of that."""
        levels = np.maximum(self.levels(rows), _SMALL)
        found = np.ones(len(rows))
        if self.known.rhythm.seasons:
            season = self.known.rhythm.seasons[-1]
            back = -(-rows.steps // season) * season
            found = _mean_of([self._at(rows.series, rows.targets - back - k * season) / levels for k in range(4)])
        elif self.known.rhythm.year:
            found = self.year_ago(rows) * self.growth(rows) / levels
        return np.clip(np.where(np.isfinite(found), found, 1.0), -_BASE_MAX, _BASE_MAX)

    def year_ago(self, rows: Rows) -> FloatArray:
        """The figures a year, or as many years as the steps need, before the targets; NaN where there are none."""
        year = self.known.rhythm.year
        back = -(-rows.steps // year) * year if year else rows.targets + 1
        plain = self._smoothed_at(rows.series, rows.targets - back, rows.origins)
        if self.known.year_ago is None:
            return plain
        lags, shares = self.known.year_ago.lags[rows.targets].T, self.known.year_ago.shares[rows.targets].T
        there = rows.targets - lags
        figures = self._smoothed_at(np.broadcast_to(rows.series, lags.shape), there, rows.origins)
        # A week of a moving holiday may lie less than a year back, behind the origin.
        known = np.isfinite(figures) & (there <= rows.origins) & (shares > 0)
        total = np.where(known, shares, 0.0).sum(axis=0)
        mixed = np.where(known, shares * figures, 0.0).sum(axis=0) / np.where(total > 0, total, 1.0)
        return np.where((back == year) & (total > 0), mixed, plain)

    def smooth(self, cuts: Sequence[int], horizon: int) -> None:
        """Have a year ago read from the figures of groups of series without their noise, by the attribute (without any:
        all series are a group) with which last year's figures came nearest to what followed, where that is clearly
        nearer than the figures as they came.

        ``cuts``: how many periods were held out to see that. One choice serves the whole panel.
        """
        rhythm = self.known.rhythm
        if not rhythm.year or rhythm.seasons or self.length <= rhythm.year:
            return
        ends = self.length - np.array(cuts, dtype=np.int64)
        count = len(self.values)
        rows = ahead(np.tile(np.arange(count), len(ends)), np.repeat(ends, count), horizon)
        rows = rows.only(np.isfinite(self.actuals(rows)))
        least, best = self._year_error(rows) * (1 - _GAIN_MIN), None
        for groups in self.known.attributes.T if self.known.attributes.size else [np.zeros(count, dtype=np.int64)]:
            if groups_large(groups):
                self.smoothing = smoothing(self.values, groups, rhythm.year + _YEAR_MARGIN)
                if (error := self._year_error(rows)) < least:
                    least, best = error, self.smoothing
        self.smoothing = best

    def _year_error(self, rows: Rows) -> float:
        """The sum of absolute errors of last year's figures, with their growth."""
        last_year, growth = self.year_ago(rows), self.growth(rows)
        found = last_year * np.where(np.isfinite(growth), growth, 1.0)
        return float(np.nansum(np.abs(found - self.actuals(rows))))

    def growth(self, rows: Rows) -> FloatArray:
        """How much of the growth within the last year is taken to go on: half of it, the geometric mean of none and
        all. NaN where there is no year, or hardly anything a year ago."""
        year, window = self.known.rhythm.year, self.known.rhythm.level_window
        levels = np.maximum(self.levels(rows), _SMALL)
        before = _window(self._sizes, self._counts, rows.series, rows.origins - year, window)
        return np.sqrt(levels / np.where(before > _SHARE_OF_LEVEL * levels, before, np.nan))

    def columns(self, rows: Rows) -> Iterator[Column]:
        """The features."""
        levels = np.maximum(self.levels(rows), _SMALL)
        yield Column(LEVEL, rows.steps.astype(np.float64))
        yield Column(LEVEL, np.log(levels))
        yield Column(LEVEL, (rows.origins - self.starts[rows.series]).astype(np.float64))
        for window in self.known.rhythm.windows:
            yield Column(LEVEL, self._mean(rows, window) / levels)
        yield from self._seasons(rows, levels)
        yield from self._years(rows, levels)
        for feature in self.known.dates[rows.targets].T if self._years_enough else ():
            yield Column(CALENDAR, feature)
        for attribute in self.known.attributes[rows.series].T:
            yield Column(LEVEL, attribute.astype(np.float64), categorical=True)
        yield from self._drivers(rows)

    def _seasons(self, rows: Rows, levels: FloatArray) -> Iterator[Column]:
        """The same phase of the last seasons before the origin."""
        for season in self.known.rhythm.seasons:
            back = -(-rows.steps // season) * season
            lags = [self._at(rows.series, rows.targets - back - k * season) / levels for k in range(4)]
            yield Column(SEASON, lags[0])
            yield Column(SEASON, lags[1])
            yield Column(SEASON, _mean_of(lags))

    def _years(self, rows: Rows, levels: FloatArray) -> Iterator[Column]:
        """A year before the target, beside a year before the origin."""
        year = self.known.rhythm.year
        if not year:
            return
        window = self.known.rhythm.level_window
        before = _window(self._sizes, self._counts, rows.series, rows.origins - year, window)
        before = np.where(before > _SMALL, before, np.nan)
        yield Column(LEVEL, before / levels)
        for shift in (-1, 0, 1):
            there = rows.targets - year + shift
            lag = np.where(there <= rows.origins, self._at(rows.series, there), np.nan)
            yield Column(SEASON, lag / before)
        two = _window(self._sizes, self._counts, rows.series, rows.origins - 2 * year, window)
        there = rows.targets - 2 * year
        lag = np.where(there <= rows.origins, self._at(rows.series, there), np.nan)
        yield Column(SEASON, lag / np.where(two > _SMALL, two, np.nan))
        for group in self._groups:
            yield Column(SEASON, group.season(rows, year, window))

    def _drivers(self, rows: Rows) -> Iterator[Column]:
        """Each driver at the target, before and after it, and what it was like when the level was measured."""
        drivers, last = self.known.drivers, self.known.drivers.shape[1] - 1
        window = self.known.rhythm.level_window
        first = np.maximum(rows.origins + 1 - window, 0)
        for number, name in enumerate(self.known.driver_names):
            for shift in DRIVER_SHIFTS:
                yield Column(name, drivers[rows.series, np.clip(rows.targets + shift, 0, last), number])
            sums = self._driver_sums[:, :, number]
            usual = (sums[rows.series, rows.origins + 1] - sums[rows.series, first]) / (rows.origins + 1 - first)
            yield Column(name, usual)

    def _mean(self, rows: Rows, window: int) -> FloatArray:
        return _window(self._sums, self._counts, rows.series, rows.origins, window)

    def _smoothed_at(self, series: IntArray, periods: IntArray, origins: IntArray) -> FloatArray:
        """The figures in ``periods``, as smoothed as they can be from before the ends of ``origins``."""
        plain = self._at(series, periods)
        if self.smoothing is None:
            return plain
        found = self.smoothing.at(series, periods, origins)
        return np.where(np.isfinite(plain) & np.isfinite(found), found, plain)

    def _at(self, series: IntArray, periods: IntArray) -> FloatArray:
        inside = (periods >= 0) & (periods < self.length)
        found = self.values[series, np.clip(periods, 0, self.length - 1)]
        return np.where(inside, found, np.nan)


def ahead(series: IntArray, ends: IntArray, horizon: int) -> Rows:
    """The rows of all steps of ``series`` from before the periods ``ends``."""
    return Rows(
        np.repeat(series, horizon), np.repeat(ends - 1, horizon), np.tile(np.arange(1, horizon + 1), len(series))
    )


class _Group:
    """The sums of series that share an attribute."""

    def __init__(self, values: FloatArray, groups: IntArray) -> None:
        self._of = groups
        self._sums = np.zeros((int(groups.max()) + 1, values.shape[1]))
        np.add.at(self._sums, groups, np.where(np.isfinite(values), values, 0.0))
        self._running = np.concatenate([np.zeros((len(self._sums), 1)), np.cumsum(self._sums, axis=1)], axis=1)

    def season(self, rows: Rows, year: int, window: int) -> FloatArray:
        """What the group did a year before the target, beside a year before the origin."""
        there, end = rows.targets - year, rows.origins + 1 - year
        first = np.maximum(end - window, 0)
        inside = (there >= 0) & (there <= rows.origins) & (end > first)
        group = self._of[rows.series]
        end, first = np.maximum(end, 1), np.minimum(first, np.maximum(end, 1) - 1)
        usual = (self._running[group, end] - self._running[group, first]) / (end - first)
        found = self._sums[group, np.clip(there, 0, self._sums.shape[1] - 1)]
        return np.where(inside & (usual > _SMALL), found / np.maximum(usual, _SMALL), np.nan)


def _running(values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    present = np.isfinite(values)
    filled = np.where(present, values, 0.0)
    zero = np.zeros((len(values), 1))
    running = [np.concatenate([zero, np.cumsum(it, axis=1)], axis=1) for it in (filled, np.abs(filled), present)]
    return running[0], running[1], running[2]


def _window(sums: FloatArray, counts: FloatArray, series: IntArray, ends: IntArray, window: int) -> FloatArray:
    """The mean over the ``window`` periods up to ``ends``; NaN where there is none."""
    end = np.maximum(ends + 1, 0)
    first = np.maximum(end - window, 0)
    count = counts[series, end] - counts[series, first]
    total = sums[series, end] - sums[series, first]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _mean_of(lags: list[FloatArray]) -> FloatArray:
    stacked = np.stack(lags)
    present = np.isfinite(stacked)
    count = present.sum(axis=0)
    total = np.where(present, stacked, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
