"""Forecasts: points with intervals at any level, and what the past says of their errors."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, InvalidArgument
from services.forecasting.domain.measures import Dimension, Granularity, Hierarchy, Measure, TimeHierarchy
from services.forecasting.domain.series import Selection, check_dimension, check_event_name

FloatArray = npt.NDArray[np.float64]
LEVELS_DEFAULT = (80, 95)
QUANTILE_MIN, QUANTILE_MAX = 0.005, 0.995
_LEVELS = np.arange(0, 100)


class NothingToForecast(FailedPrecondition):
    """The series has no complete period with an order."""


class QuantileInvalid(InvalidArgument):
    """A probability that no interval reaches."""


class HierarchyInvalid(InvalidArgument):
    """It does not add up, or has no such part."""


class TimeHierarchyInvalid(InvalidArgument):
    """It has no such periods, does not add up over time, or reaches too far."""


@dataclass(frozen=True, slots=True)
class PanelKey:
    """Names the series that are fitted together, and how far they are forecast."""

    measure: Measure
    dimension: Dimension
    granularity: Granularity
    horizon: int
    currency: str = ""
    time_zone: str = ""
    hierarchy: Hierarchy = Hierarchy.NONE
    event_name: str = ""
    time_hierarchy: TimeHierarchy = TimeHierarchy.NONE
    """Where there is one, the horizon is in its longest periods."""
    as_of: int | None = None
    """The forecast that would have been made then (microseconds); ``None``: of all that is known."""

    def __post_init__(self) -> None:
        check_event_name(self.measure, self.event_name)
        check_dimension(self.measure, self.dimension)
        if self.time_hierarchy:
            self._check_time()
        if self.hierarchy and not self.measure.adds_up(self.hierarchy):
            raise HierarchyInvalid(
                f"{self.measure.name} may count in several parts of {self.hierarchy.name}: they do not add up",
                field="hierarchy",
            )
        if self.hierarchy and self.dimension not in self.hierarchy.levels:
            parts = ", ".join(level.name for level in self.hierarchy.levels)
            raise HierarchyInvalid(f"the hierarchy has {parts}, not {self.dimension.name}", field="hierarchy")

    @property
    def fitted_with(self) -> "PanelKey":
        """The same for all panels that are fitted at once."""
        whole = replace(self, dimension=Dimension.TOTAL) if self.hierarchy else self
        return replace(whole, granularity=self.time_hierarchy.levels[0]) if self.time_hierarchy else whole

    def _check_time(self) -> None:
        it, field = self.time_hierarchy, "time_hierarchy"
        if self.measure is Measure.ACTIVE_CUSTOMERS:
            raise TimeHierarchyInvalid("who is active on two days is one active customer of the week", field=field)
        if self.granularity not in it.levels:
            parts = ", ".join(level.name for level in it.levels)
            raise TimeHierarchyInvalid(f"{it.name} has {parts}, not {self.granularity.name}", field=field)
        if self.horizon > it.horizon_max:
            longest = it.levels[-1].name.lower()
            raise TimeHierarchyInvalid(
                f"the horizon is counted in {longest}s, at most {it.horizon_max}; ask for fewer", field="horizon"
            )

    def selection(self, values: tuple[str, ...] = ()) -> Selection:
        """The order lines of the panel."""
        return Selection(
            self.measure, self.dimension, self.granularity, values, self.currency, self.time_zone, self.event_name
        )

    def key(self, value: str) -> "ForecastKey":
        """The forecast of one series of the panel."""
        return ForecastKey(self, value)


def panel_of(selection: Selection, horizon: int) -> PanelKey:
    """The panel of these order lines or events."""
    it = selection
    return PanelKey(
        it.measure, it.dimension, it.granularity, horizon, it.currency, it.time_zone, event_name=it.event_name
    )


@dataclass(frozen=True, slots=True)
class ForecastKey:
    """Names one forecast."""

    panel: PanelKey
    value: str = ""

    @property
    def id(self) -> str:
        """The same for the same key, in every process."""
        it = self.panel
        own = (it.measure, it.dimension, it.granularity, it.horizon, it.currency, it.time_zone, self.value)
        parts = (*own, it.hierarchy) if it.hierarchy else own
        parts = (*parts, f"of {it.event_name}") if it.event_name else parts
        parts = (*parts, f"over {it.time_hierarchy.name}") if it.time_hierarchy else parts
        parts = (*parts, f"as of {it.as_of}") if it.as_of is not None else parts
        return hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Errors over all origins and steps of a backtest; ``None`` where a measure would divide by zero."""

    wape: float | None
    mase: float | None
    smape: float
    rmse: float
    bias: float | None
    wql: float | None = None
    """``None`` also of forecasts that were stored before it was measured."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """How the method, and the seasonal naive one, did on the series' own past."""

    origin_count: int
    accuracy: Accuracy
    seasonal_naive: Accuracy
    coverage: tuple[float, ...]
    """The share of figures inside the interval, by level from 1 to 99."""
    unreconciled: Accuracy | None = None
    """Of the forecasts before they were made to add up and agree; ``None`` where nothing was made to."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """Models of trees that were fitted to a whole panel, the newest first, as LightGBM writes them."""

    model_id: str
    boosters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DriverState:
    """How a forecast answers to its drivers. Arrays as in ``learning.what_if``."""

    names: tuple[str, ...]
    around: FloatArray
    lowest: FloatArray
    """By driver: the least that the history of the series saw."""
    highest: FloatArray
    regression_weight: float
    coefficients: FloatArray
    covariance: FloatArray
    boosting_weight: float
    level: float
    features: FloatArray
    model_id: str
    """Of the stored model; empty without trees."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one series will be. Times are microseconds."""

    key: ForecastKey
    currency: str
    starts: tuple[int, ...]
    values: tuple[float, ...]
    scale: tuple[float, ...]
    quantiles: tuple[float, ...]
    """By level from 1 to 99; an interval is the value plus and minus ``scale`` times the level's quantile."""
    non_negative: bool
    model: str
    history_start: int
    history_end: int
    history_count: int
    backtest: Backtest | None
    warnings: tuple[str, ...]
    fit_time: int = 0
    version: int = 0
    parts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """By what adds it, and step; they add up to ``values``."""
    drivers: DriverState | None = field(default=None, compare=False)

    def interval(self, step: int, level: int) -> tuple[float, float]:
        """The lower and the upper end at ``level`` per cent."""
        half = self.scale[step] * self.quantiles[level - 1]
        lower = self.values[step] - half
        return max(lower, 0.0) if self.non_negative else lower, self.values[step] + half

    def quantile(self, step: int, probability: float) -> float:
        """What the figure stays below with ``probability``, from .005 to .995."""
        level = 100 * abs(2 * probability - 1)
        half = float(np.interp(level, _LEVELS, (0.0, *self.quantiles))) * self.scale[step]
        found = self.values[step] + (half if probability > 0.5 else -half)
        return max(found, 0.0) if self.non_negative else found


def check_quantiles(probabilities: Sequence[float]) -> None:
    """``QuantileInvalid`` for one that is not from .005 to .995."""
    for index, it in enumerate(probabilities):
        if not QUANTILE_MIN <= it <= QUANTILE_MAX:
            raise QuantileInvalid(
                f"a quantile lies between {QUANTILE_MIN} and {QUANTILE_MAX}, for example 0.9",
                field=f"quantiles[{index}]",
            )


def describe(weights: Mapping[str, float]) -> str:
    """The methods and their weights in per cent, the heaviest first; one method alone is its name."""
    if len(weights) == 1:
        return next(iter(weights))
    return " + ".join(f"{name} {100 * weight:.0f}" for name, weight in weights.items())
