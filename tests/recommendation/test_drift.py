"""Drift: nothing where purchases go on as before, an alarm where they do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommendation.adapters import snapshots
from services.recommendation.adapters.interactions import Lines
from services.recommendation.app import Settings
from services.recommendation.domain.drift import drift_of, psi
from services.recommendation.domain.model import Model
from tests.recommendation.client import Client, new_id
from tests.recommendation.conftest import Start, record
from tests.recommendation.making import NOW, catalogue

PATHS = {item.item_id: item.categories for item in catalogue()}


@pytest.fixture
def model(trained_settings: Settings) -> Model:
    (folder,) = (trained_settings.data_dir / "recommendation-models" / "tenant-acme").iterdir()
    return snapshots.read_model(folder)


def path(item_id: str) -> tuple[str, ...]:
    return PATHS.get(item_id, ())


COUNTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4)


@given(COUNTS, COUNTS)
def test_an_index_is_never_negative_and_nothing_between_equals(one: list[int], other: list[int]) -> None:
    assert psi(np.array(one, float), np.array(other, float)) >= -1e-12
    assert psi(np.array(one, float), np.array(one, float)) == pytest.approx(0, abs=1e-12)


def test_an_index_is_that_of_the_textbook() -> None:
    # (.3 - .5) ln(.3 / .5) + (.7 - .5) ln(.7 / .5)
    assert psi(np.array([5000.0, 5000.0]), np.array([3000.0, 7000.0])) == pytest.approx(0.16946, abs=1e-3)


def test_who_buys_as_before_does_not_drift(model: Model) -> None:
    as_before = {item: int(count) for item, count in zip(model.item_ids, model.item_baskets.tolist(), strict=True)}
    drift = drift_of(model, as_before, path)
    assert (drift.unknown_item_share, drift.alarms) == (0, ())
    assert drift.category_psi < 0.01
    assert drift.demand_psi < 0.01


def test_other_categories_and_unknown_items_raise_an_alarm_once_there_are_enough_lines(model: Model) -> None:
    odd = {item: 40 for item in model.item_ids if int(item[1:]) % 2}
    assert set(drift_of(model, odd, path).alarms) == {"categories", "demand"}
    assert drift_of(model, odd | {"new": 300}, path).alarms[:2] == ("unknown_items", "categories")
    few = drift_of(model, {"new": 100}, path)
    assert (few.unknown_item_share, few.alarms) == (1.0, ())


async def test_the_status_tells_of_drift(trained_settings: Settings, start: Start) -> None:
    async with start() as client:
        assert (await client.status()).drift.line_count == 0
    count = 250
    late = Lines(["acme"] * count, ["late"] * count, [], [new_id() for _ in range(count)], ["novelty"] * count,
                 [NOW] * count, [1.0] * count, [100] * count, ["USD"] * count)  # fmt: skip
    await record(trained_settings, late, cursor="late")
    async with start() as client:
        drift = (await client.status()).drift
        assert (drift.line_count, drift.unknown_item_share) == (count, 1.0)
        assert "unknown_items" in drift.alarms


async def test_without_a_model_there_is_no_drift(empty: Client) -> None:
    assert not (await empty.status()).HasField("drift")
