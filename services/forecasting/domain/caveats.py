"""What a reader of a forecast should know about the history that it was made from, in sentences."""

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.seasons import season_length

_ORIGINS_FEW = 4
_INTERMITTENT_SHARE = 0.5
_YEAR_IN_PERIODS = {Granularity.WEEK: 52, Granularity.MONTH: 12}


def caveats(
    history: npt.NDArray[np.float64], granularity: Granularity, horizon: int, origin_count: int
) -> tuple[str, ...]:
    """Sentences, none for a long and lively history."""
    count = len(history)
    zeros = int((history == 0).sum())
    found = []
    if count == 1:
        found.append("Only one complete period has orders: the forecast repeats it, the intervals are a guess.")
    elif origin_count == 0:
        found.append(
            f"The history has {count} periods, too few for a backtest: methods and intervals are not checked on it."
        )
    elif origin_count < _ORIGINS_FEW:
        found.append(f"The backtest has only {origin_count} origins: its errors and the intervals are rough.")
    if zeros > _INTERMITTENT_SHARE * count:
        found.append(f"{zeros} of {count} periods are zero: the forecast is a mean rate, not the size of one order.")
    if history.min() < 0:
        found.append("The history has negative figures: the forecast may be negative too.")
    if horizon > count:
        found.append(f"The horizon of {horizon} periods is longer than the history of {count}.")
    if granularity in _YEAR_IN_PERIODS and season_length(granularity, count) == 1:
        found.append("The history is shorter than two and a half years: a yearly season is not in the forecast.")
    return tuple(found)
