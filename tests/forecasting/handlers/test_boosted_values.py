"""From which moments trees of what customers spend learn."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from services.forecasting.domain.customers import Histories, ModelName, ValueMethod
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.propensity import FEATURES, Goal, Moment
from services.forecasting.handlers import boosted_values
from services.forecasting.handlers.boosted_values import Shop, features_of, learn

SHOP = Shop("t", "USD", 1000 * DAY)


@dataclass
class Past:
    """A past of customers, the port ``Moments``, which notes what it was asked for."""

    customers: int = 300
    asked: list[int] = field(default_factory=list)

    async def moment(
        self, tenant: str, currency: str, goal: Goal, at: int, customer_ids: Sequence[str] | None = None
    ) -> Moment:
        self.asked.append(at)
        random = np.random.default_rng(at // DAY)
        ids = [f"c{it}" for it in range(self.customers)]
        count = random.geometric(0.4, self.customers).astype(np.float64)
        tenure = random.integers(30, 200, self.customers).astype(np.float64)
        features = np.zeros((self.customers, len(FEATURES)))
        amount = count * random.gamma(4, 500, self.customers)
        recency = np.where(count > 1, np.floor(tenure * random.random(self.customers)), tenure)
        for name, column in zip(
            ("purchase_days", "tenure_days", "recency_days", "amount"), (count, tenure, recency, amount), strict=True
        ):
            features[:, FEATURES.index(name)] = column
        came = random.random(self.customers) < 0.4
        chosen = [place for place, it in enumerate(ids) if customer_ids is None or it in set(customer_ids)]
        return Moment([ids[it] for it in chosen], features[chosen], ~came[chosen], np.where(came, 900.0, 0.0)[chosen])


async def test_trees_learn_of_moments_whose_horizons_are_over_and_that_have_a_horizon_before_them() -> None:
    past, end = Past(), SHOP.first + 150 * DAY
    learnt = await learn(past, SHOP, end, 30, ModelName.BG_NBD, [ValueMethod.BOOSTING])
    assert learnt is not None
    assert learnt.moment_count == len(past.asked) == 8
    assert all(SHOP.first + 30 * DAY <= at <= end - 30 * DAY for at in past.asked)
    assert list(learnt.trees) == [ValueMethod.BOOSTING]


async def test_of_a_shop_whose_customers_did_not_come_back_there_is_nothing_to_learn() -> None:
    past = Past(customers=20)
    assert await learn(past, SHOP, SHOP.first + 150 * DAY, 30, ModelName.BG_NBD, [ValueMethod.BOOSTING]) is None


async def test_of_a_large_shop_fewer_moments_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    past = Past()
    monkeypatch.setattr(boosted_values, "READ_MAX", 900)
    await learn(past, SHOP, SHOP.first + 150 * DAY, 30, ModelName.BG_NBD, [])
    assert len(past.asked) == 3


async def test_of_a_large_shop_a_part_of_the_customers_is_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosted_values, "ROWS_MAX", 1_200)  # half of eight moments of 300
    learnt = await learn(Past(), SHOP, SHOP.first + 150 * DAY, 30, ModelName.BG_NBD, [ValueMethod.BOOSTING])
    assert learnt is not None
    assert learnt.moment_count == 8


async def test_features_are_in_the_order_of_the_histories_and_unknown_of_who_is_gone() -> None:
    past, at = Past(), SHOP.first + 100 * DAY
    nothing = np.zeros(3, dtype=np.int64)
    of = Histories(
        ["c7", "gone", "c2"], nothing, nothing, nothing, nothing.astype(float), nothing, nothing.astype(float)
    )
    everybody = (await past.moment("t", "USD", Goal(30, absent=True), at)).features
    for whole in (True, False):
        found = await features_of(past, SHOP, at, 30, of, everybody=whole)
        assert (found[[0, 2]] == everybody[[7, 2]]).all()
        assert np.isnan(found[1]).all()
