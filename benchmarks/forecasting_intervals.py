"""How often intervals of 80 and 95 % hold what comes, over several ends of each of the data, and how far that is known.

``python -m benchmarks.forecasting_intervals`` prints a line for each end and one for all of each data; names (``m3``,
``m4_weekly``, ``m4_hourly``, ``walmart``, ``rossmann``, ``complete_journey``) choose some. ``--ends=4``: so many ends,
each a horizon before the one after it, the last that of ``benchmarks.forecasting``; ``--sample=9`` takes every ninth
store or series of the large panels, ``--without-network`` leaves the neural network out, ``--ahead=13`` forecasts so
many of Walmart's weeks. The constants of the intervals were chosen on ends before the last ones
(``docs/performance.md``).

The noise of an end is that of a bootstrap of its series; figures of one span err together, which it cannot see, so
that of several ends is the standard deviation between them over the root of their number, where series end together.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from benchmarks.coverage import noise
from benchmarks.forecasting import DATA, FOLDERS, PERIODS, WEEKS_AHEAD, daily_sales, held, option
from benchmarks.forecasting_panels import ROSSMANN_AHEAD, WALMART_AHEAD, Task, m4, rossmann, walmart
from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.seasons import calendar_features
from services.forecasting.learning.histories import FloatArray
from services.forecasting.learning.known_ahead import Learners
from services.forecasting.learning.network import NetworkFitting
from services.forecasting.learning.panel import SeriesForecast, forecast_panel

LEVELS = (80, 95)
M4_AHEAD = {"weekly": 13, "hourly": 48}
_HISTORY_MIN = 10


@dataclass(frozen=True)
class Held:
    """What the intervals of one end held: by series and step, for each level; and which figures count."""

    inside: tuple[FloatArray, ...]
    counted: FloatArray
    score: float
    """The mean interval score of both levels, over the mean size of the figures."""


def judged(found: list[SeriesForecast], actual: FloatArray, counted: FloatArray) -> Held:
    """What the intervals of ``found`` held."""
    return Held(
        tuple(held(found, actual, level) for level in LEVELS),
        (counted > 0).astype(np.float64),
        float(np.mean([_score(found, actual, counted > 0, level) for level in LEVELS])),
    )


def _score(found: list[SeriesForecast], actual: FloatArray, counted: np.ndarray, level: int) -> float:
    """The width, and for a figure outside how far, over half of the share that may be (Gneiting and Raftery, 2007)."""
    points = np.stack([it.points for it in found])
    half = np.stack([it.scale * it.quantiles[level - 1] for it in found])
    beyond = np.maximum(np.abs(actual - points) - half, 0.0)
    return float((2 * half + 2 / (1 - level / 100) * beyond)[counted].mean() / np.abs(actual[counted]).mean())


def m3(end: int) -> Iterator[Held]:
    """The kinds of series of the M3 competition, one after the other; those that are long enough ``end`` horizons
    before theirs."""
    meta = pd.read_parquet(DATA / "m3" / "meta.parquet")
    rows = pd.read_parquet(DATA / "m3" / "series.parquet").astype({"id": str})
    whole = {name: group["y"].to_numpy() for name, group in rows.groupby("id")}
    steps = rows[rows["is_test"]].groupby("id").size()
    for kind, group in meta.groupby("period"):
        period, horizon = PERIODS[str(kind)], int(steps[group["id"].iloc[0]])
        ahead = (end + 1) * horizon
        least = max(_HISTORY_MIN, 2 * period + horizon) if end else 1
        chosen = [whole[name] for name in group["id"] if len(whole[name]) - ahead >= least]
        actual = np.stack([one[len(one) - ahead :][:horizon] for one in chosen])
        found = forecast_panel([one[:-ahead] for one in chosen], period, horizon).series
        yield judged(found, actual, np.ones_like(actual))


def retailer(weekly: bool, end: int) -> Iterator[Held]:
    """Sales of the Complete Journey by department, in weeks or days."""
    daily = daily_sales()
    sales = daily.resample("W-MON", label="left", closed="left").sum().iloc[1:] if weekly else daily
    granularity, period, horizon = (
        (Granularity.WEEK, 1, WEEKS_AHEAD) if weekly else (Granularity.DAY, 7, 7 * WEEKS_AHEAD)
    )
    sales = sales.iloc[: len(sales) - end * horizon]
    past = sales.iloc[:-horizon]
    names = [name for name in sales if (past[name] > 0).sum() > 1]
    series = [np.trim_zeros(past[name].to_numpy(dtype=np.float64), "f") for name in names]
    calendar = calendar_features(granularity, [stamp.to_pydatetime() for stamp in sales.index])
    actual = sales.iloc[-horizon:][names].to_numpy(dtype=np.float64).T
    yield judged(forecast_panel(series, period, horizon, calendar).series, actual, np.ones_like(actual))


def panel(make: Callable[[int], Task], ahead: int, end: int) -> Iterator[Held]:
    """A large panel with what else is known."""
    task = make(end * ahead)
    learners = Learners(network=None if "--without-network" in sys.argv else NetworkFitting())
    steps = task.actual.shape[1]
    found = forecast_panel(task.series, task.period, steps, task.calendar, known=task.known, learners=learners).series
    yield judged(found, task.actual, task.counted)


def kinds() -> dict[str, tuple[str, Callable[[int], Iterator[Held]], bool]]:
    """By name: the folder of the data, what measures an end, and whether series end together."""
    sample, ahead = option("sample", 1), option("ahead", WALMART_AHEAD)
    m4s: dict[str, tuple[str, Callable[[int], Iterator[Held]], bool]] = {
        f"m4_{which}": (FOLDERS[f"m4_{which}"], partial(panel, partial(m4, which, sample), steps), False)
        for which, steps in M4_AHEAD.items()
    }
    return {
        "m3": ("m3", m3, False),
        "complete_journey weeks": ("complete_journey", partial(retailer, True), True),
        "complete_journey days": ("complete_journey", partial(retailer, False), True),
        **m4s,
        "walmart": ("walmart", partial(panel, lambda out: walmart(sample, out, ahead), ahead), True),
        "rossmann": ("rossmann", partial(panel, partial(rossmann, sample), ROSSMANN_AHEAD), True),
    }


def _line(name: str, shares: list[float], doubts: list[float], score: float) -> None:
    said = "  ".join(f"{share:5.1f} +- {doubt:4.1f}" for share, doubt in zip(shares, doubts, strict=True))
    print(f"{name:36} {said}  {score:7.3f}", flush=True)


def measured(name: str, ends: Iterator[list[Held]], together: bool) -> None:
    """Print what each end and all of them held."""
    shares, doubts, scores = [], [], []
    for number, parts in enumerate(ends):
        figures = sum(it.counted.sum() for it in parts)
        of_end = [sum((it.inside[k] * it.counted).sum() for it in parts) / figures * 100 for k in range(len(LEVELS))]
        own = [noise([(it.inside[k], it.counted) for it in parts]) for k in range(len(LEVELS))]
        score = sum(it.score * it.counted.sum() for it in parts) / figures
        _line(f"{name}, {number} before" if number else f"{name}, the last end", of_end, own, score)
        shares.append(of_end)
        doubts.append(own)
        scores.append(score)
    if len(scores) > 1:
        between = np.std(shares, axis=0, ddof=1) / np.sqrt(len(scores))
        within = np.sqrt((np.array(doubts) ** 2).mean(axis=0) / len(scores))
        said = between if together else np.maximum(between, within)
        _line(f"{name}, all ends", np.mean(shares, axis=0).tolist(), said.tolist(), float(np.mean(scores)))


def main() -> None:
    """Measure and print."""
    asked = [it for it in sys.argv[1:] if not it.startswith("-")]
    print(f"{'data':36} {'held by 80 %':>14}  {'held by 95 %':>14}  {'score':>7}")
    for name, (folder, measure, together) in kinds().items():
        if asked and name.split()[0] not in asked:
            continue
        if not (DATA / folder).exists():
            print(f"# skipped: {name}, as {DATA / folder} is not here", file=sys.stderr)
            continue
        measured(name, (list(measure(end)) for end in range(option("ends", 4))), together)


if __name__ == "__main__":
    main()
