"""What a customer bought since the training joins what the model remembers."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.recommendation.adapters import snapshots
from services.recommendation.domain.history import MICROS_A_DAY, Bought, history_of
from services.recommendation.domain.model import Model
from tests.recommendation.making import TENANT


@pytest.fixture(scope="module")
def model(trained_folder: Path) -> Model:
    (folder,) = (trained_folder / "recommendation-models" / f"tenant-{TENANT}").iterdir()
    return snapshots.read_model(folder)


@pytest.mark.parametrize(("history_days", "weight"), [(0.0, 2**-0.5), (10.0, 2**-2)])
def test_a_purchase_fades_with_the_half_life_of_histories(model: Model, history_days: float, weight: float) -> None:
    training = replace(model.training, half_life_days=40.0, history_days=history_days)
    line = Bought(model.item_ids[3], "b", training.newest_time - 20 * MICROS_A_DAY)
    history = history_of(replace(model, training=training), "a stranger", [line])
    assert history.rows.tolist() == [3]
    assert history.weights.tolist() == pytest.approx([weight])
