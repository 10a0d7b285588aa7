"""What an uplift model says of customers: when it is fitted, and of who is merged or parted later."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.forecasting.domain.propensity import FloatArray, Moment
from services.forecasting.domain.uplift import Figure, Outcome, Uplift, UpliftModel, group_of
from services.forecasting.learning.propensity import reasons
from services.forecasting.learning.uplift import UpliftTrees
from services.forecasting.learning.uplift_kept import UpliftMeans

_CHUNK = 10_000
_LIKELY = 0.5


@dataclass(frozen=True, slots=True)
class UpliftSaying:
    """A model with what it learnt."""

    model: UpliftModel
    trees: UpliftTrees
    means: UpliftMeans

    def of(
        self, customers: Moment, uplift: FloatArray, half: FloatArray, percentiles: Sequence[int]
    ) -> Iterator[list[Uplift]]:
        """What is said of each of these, some thousands at a time.

        ``uplift``, ``half``: as ``trees.uplift`` gives them; ``percentiles``: where the uplifts lie.
        """
        model = self.model
        for begin in range(0, len(customers), _CHUNK):
            rows = slice(begin, begin + _CHUNK)
            features = customers.features[rows]
            because = reasons(model.goal.features, features, self.trees.effects.moved(features) - self.means.moved)
            figures = [
                Figure(value, value - width, value + width)
                for value, width in zip(uplift[rows].tolist(), half[rows].tolist(), strict=True)
            ]
            base: list[float] = self.trees.control(features).tolist()
            yield [
                Uplift(
                    model.model_id, model.version, who, figure, before, part,
                    group_of(figure, before, self._least, self._usual), model.as_of, why, model.outcome,
                    model.fit_time, model.goal.horizon_days, model.currency,
                )
                for who, figure, before, part, why in zip(
                    customers.ids[rows], figures, base, percentiles[rows], because, strict=True
                )
            ]  # fmt: skip

    @property
    def _least(self) -> float:
        advice = self.model.recommendation
        return advice.worth.uplift_min if advice else 0.0

    @property
    def _usual(self) -> float:
        return self.means.base if self.model.outcome is Outcome.AMOUNT else _LIKELY
