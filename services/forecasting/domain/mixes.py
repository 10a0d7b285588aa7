"""What wholes are made of, so that what is known of the parts can be said of the whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.measures import Dimension

FloatArray = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Scope = tuple[Dimension, str]
EVERY: Scope = (Dimension.TOTAL, "")
"""Of what values of all series are kept."""
Parts = Mapping[Scope, float]
"""By part, its share of the sales of the whole; together at most 1."""


@dataclass(frozen=True, slots=True)
class Mix:
    """By whole, the ways in which it is divided, the best first. Shares do not change with time: a driver of a whole
    moves because it moves for the parts, not because other parts are bought."""

    divisions: Mapping[Scope, Sequence[Parts]] = field(default_factory=dict)

    def below(self, scopes: Sequence[Scope]) -> Iterator[Scope]:
        """The parts of ``scopes``, and theirs."""
        for scope in scopes:
            for parts in self.divisions.get(scope, ()):
                yield from parts
                yield from self.below(list(parts))


@dataclass(frozen=True, slots=True)
class Given:
    """What was given of one driver by scope and day, NaN where nothing was."""

    days: Mapping[Scope, FloatArray]
    count: int
    holding: bool
    """Whether a value holds until the next one."""

    def of(self, scope: Scope, mix: Mix, default: float | None) -> tuple[FloatArray, Bools]:
        """By day: what the driver is, NaN where nothing says so, and whether something was given for the day itself.

        What was given of the scope goes first, then the mean of its parts by their shares, then what was given of all.
        A part without a value is what was given of all, or ``default``; without either, the mean is of the others.
        """
        general = self.days.get(EVERY, self._nothing())
        own = self.days.get(scope, self._nothing())
        total, share, given = self._of_parts(scope, mix)
        others = np.where(np.isfinite(general), general, np.nan if default is None else default)
        mean = np.where(np.isfinite(others), total + (1 - share) * others, total / np.where(share > 0, share, np.nan))
        found = np.where(np.isfinite(own), own, np.where(share > 0, mean, general))
        return found, np.isfinite(own) | given | np.isfinite(general)

    def _of_parts(self, scope: Scope, mix: Mix) -> tuple[FloatArray, FloatArray, Bools]:
        """The sum of the parts' values times their shares, the sum of these shares, and where a part has a value."""
        for parts in mix.divisions.get(scope, ()):
            total, share = np.zeros(self.count), np.zeros(self.count)
            given = np.zeros(self.count, dtype=bool)
            for part, weight in parts.items():
                theirs, of_theirs, known = self._of_parts(part, mix)
                if (own := self.days.get(part)) is not None:
                    known = known | np.isfinite(own)
                    own = held(own) if self.holding else own
                    theirs, of_theirs = (
                        np.where(np.isfinite(own), own, theirs),
                        np.where(np.isfinite(own), 1.0, of_theirs),
                    )
                total, share, given = total + weight * theirs, share + weight * of_theirs, given | known
            if share.any():
                return total, share, given
        return np.zeros(self.count), np.zeros(self.count), np.zeros(self.count, dtype=bool)

    def _nothing(self) -> FloatArray:
        return np.full(self.count, np.nan)


def held(numbers: FloatArray) -> FloatArray:
    """Rows (or one) with each gap filled by the last value before; NaN before the first."""
    last = np.maximum.accumulate(np.where(np.isfinite(numbers), np.arange(numbers.shape[-1]), -1), axis=-1)
    return np.where(last >= 0, np.take_along_axis(numbers, np.maximum(last, 0), axis=-1), np.nan)
