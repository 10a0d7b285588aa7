"""What is bought together, against an independent count with pandas."""

import numpy as np
import pandas as pd
import pytest

from services.recommendation.learning.association import Associations, associate
from services.recommendation.learning.purchases import Purchases
from tests.evaluation_data import evaluation_data
from tests.recommendation.making import shop


def counted(baskets: "pd.Series[int]", items: "pd.Series[int]", minimum: int) -> dict[tuple[int, int], int]:
    """How many baskets hold both, by a join of the table with itself."""
    lines = pd.DataFrame({"basket": baskets, "item": items}).drop_duplicates()
    pairs = lines.merge(lines, on="basket")
    pairs = pairs[pairs.item_x != pairs.item_y]
    counts = pairs.groupby(["item_x", "item_y"]).size()
    kept = counts[counts >= minimum].reset_index(name="baskets").to_numpy().tolist()
    return {(item, other): count for item, other, count in kept}


def answered(found: Associations) -> dict[tuple[int, int], int]:
    return {
        (item, int(found.partners[at])): int(found.together[at])
        for item in range(len(found.starts) - 1)
        for at in range(found.starts[item], found.starts[item + 1])
    }


@pytest.mark.parametrize("minimum", [1, 3, 10])
def test_the_counts_are_those_of_a_self_join(minimum: int) -> None:
    purchases = shop(kinds=3).purchases
    found = associate(purchases.distinct(), minimum)
    assert answered(found) == counted(pd.Series(purchases.baskets), pd.Series(purchases.items), minimum)
    lines = pd.DataFrame({"basket": purchases.baskets, "item": purchases.items}).drop_duplicates()
    assert found.baskets.tolist() == lines.groupby("item").size().tolist()
    assert found.basket_count == purchases.basket_count


def test_partners_come_strongest_first_and_equal_ones_by_count_then_code() -> None:
    found = associate(shop().purchases.distinct(), 2)
    for item in range(24):
        cells = slice(found.starts[item], found.starts[item + 1])
        others, together = found.partners[cells], found.together[cells]
        strength = together / np.sqrt(found.baskets[item] * found.baskets[others].astype(float))
        keys = list(zip(-strength, -together, others, strict=True))
        assert keys == sorted(keys)


def test_items_that_are_never_together_often_enough_have_no_partners() -> None:
    found = associate(shop().purchases.distinct(), 10_000)
    assert len(found.partners) == 0
    assert found.starts.tolist() == [0] * 25


def test_the_counts_of_a_real_grocer_are_those_of_a_self_join() -> None:
    path = evaluation_data("complete_journey") / "transactions.parquet"
    lines = pd.read_parquet(path, columns=["basket_id", "product_id", "household_id"])
    lines = lines[lines.household_id % 10 == 0]
    baskets, items = pd.factorize(lines.basket_id)[0], pd.factorize(lines.product_id, sort=True)[0]
    nought = np.zeros(len(lines), np.int32)
    purchases = Purchases(
        nought, baskets.astype(np.int32), items.astype(np.int32), nought.astype(np.float32),
        1, int(baskets.max()) + 1, int(items.max()) + 1,
    )  # fmt: skip
    found = associate(purchases.distinct(), 50)
    assert len(found.partners) > 100
    assert answered(found) == counted(pd.Series(baskets), pd.Series(items), 50)
