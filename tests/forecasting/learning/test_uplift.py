"""What a treatment changes, learnt from experiments whose truth is known, and how sure that is."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from services.forecasting.domain.propensity import FloatArray
from services.forecasting.domain.uplift import Figure, Trial, UpliftGroup, Worth, group_of
from services.forecasting.handlers.fit_uplift import recommendation
from services.forecasting.learning.qini import STEPS, uplift_quality
from services.forecasting.learning.uplift import (
    PARTS,
    HeldOut,
    Ranks,
    UpliftTrees,
    borne_out,
    chances,
    fit,
    ridge,
    taken,
)
from services.forecasting.learning.uplift_kept import UpliftMeans, dump, load


def experiment(count: int, seed: int, differing: float = 1.0, chosen: float = 0.0) -> tuple[Trial, FloatArray]:
    """Customers whose third feature decides what the treatment does, and how ``chosen`` by the first they were; the
    effect of each."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, 4))
    features[random.random(features.shape) < 0.05] = np.nan
    known = np.nan_to_num(features)
    base = expit(known[:, 0] - 1)
    effect = 0.08 + differing * (0.12 * np.tanh(known[:, 2]) + 0.1 * (known[:, 1] > 0.5))
    effect = np.clip(effect, -base, 1 - base)
    treated = random.random(count) < expit(chosen * known[:, 0])
    reached = random.random(count) < base + treated * effect
    ids = tuple(f"c{number}" for number in range(count))
    return Trial(ids, features, treated, reached.astype(np.float64), np.zeros(count, dtype=np.int64)), effect


@pytest.fixture(scope="module")
def learnt() -> tuple[Trial, UpliftTrees, HeldOut]:
    trial, _ = experiment(4_000, 1)
    trees, held_out, drawn = fit(trial)
    assert drawn
    return trial, trees, held_out


def test_effects_on_customers_never_seen_are_near_the_truth(learnt: tuple[Trial, UpliftTrees, HeldOut]) -> None:
    fresh, truth = experiment(4_000, 2)
    said, half = learnt[1].uplift(fresh.features)
    assert np.corrcoef(said, truth)[0, 1] > 0.75
    assert np.mean(np.abs(said - truth) <= half) > 0.6
    assert said.mean() == pytest.approx(truth.mean(), abs=0.03)
    control = learnt[1].control(fresh.features)
    assert control[~fresh.treated].mean() == pytest.approx(fresh.outcome[~fresh.treated].mean(), abs=0.03)


def test_the_experiment_says_how_much_better_than_chance_the_choice_is(
    learnt: tuple[Trial, UpliftTrees, HeldOut],
) -> None:
    trial, _, held_out = learnt
    found = uplift_quality(trial, held_out)
    assert 0 < found.qini.low < found.qini.value < found.qini.high
    assert found.heterogeneity is not None
    assert found.heterogeneity.low < 1 < found.heterogeneity.high
    assert found.effect.low < experiment(4_000, 1)[1].mean() < found.effect.high
    assert (len(found.curve), found.curve[0].value) == (STEPS + 1, 0.0)
    assert found.curve[-1].value == pytest.approx(found.effect.value)
    assert found.deciles[0].uplift > found.deciles[-1].uplift + 0.05
    assert found.deciles[0].measured.high > found.deciles[-1].measured.value
    assert sum(it.customer_count for it in found.deciles) == len(trial)
    assert found.treated_rate - found.control_rate == pytest.approx(found.effect.value, abs=0.02)


def test_parts_add_up_to_what_sets_a_customer_apart(learnt: tuple[Trial, UpliftTrees, HeldOut]) -> None:
    trial, trees, _ = learnt
    said, parts = trees.effects(trial.features), trees.effects.parts(trial.features)
    assert np.allclose(said - said.mean(), parts.sum(axis=1))
    assert int(np.abs(parts).mean(axis=0).argmax()) == 2


def test_what_was_learnt_says_the_same_once_it_was_kept(learnt: tuple[Trial, UpliftTrees, HeldOut]) -> None:
    trial, trees, _ = learnt
    means = UpliftMeans.of(trees, trial.features)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(dump(trees, means)))
    found = load(kept, trial.features.shape[1])
    assert found is not None
    again, read = found
    some = trial.features[:200]
    for said, once_more in zip(trees.uplift(some), again.uplift(some), strict=True):
        assert np.array_equal(said, once_more)
    assert np.array_equal(trees.control(some), again.control(some))
    assert np.array_equal(trees.effects.moved(some), again.effects.moved(some))
    assert np.array_equal(means.moved, read.moved)
    assert means.base == read.base == pytest.approx(trees.control(trial.features).mean())
    assert load(kept, trial.features.shape[1] + 1) is None
    assert load(kept | {"form": 0}, trial.features.shape[1]) is None


def test_where_nobody_differs_hardly_any_difference_is_said() -> None:
    trial, _ = experiment(1_500, 3, differing=0.0)
    trees, held_out, _ = fit(trial)
    said, _ = trees.uplift(trial.features)
    assert said.std() < 0.03
    assert uplift_quality(trial, held_out).qini.low <= 0.005


def spending(count: int, seed: int) -> tuple[Trial, FloatArray]:
    """Customers of whom two in five spend, a few of them much; the treatment adds to that by the third feature."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, 4))
    effect = 150 + 250 * np.tanh(features[:, 2])
    treated = random.random(count) < 0.5
    level = 400 + 150 * np.tanh(features[:, 0]) + treated * effect
    outcome = (random.random(count) < 0.4) * 2.5 * level * random.lognormal(-0.18, 0.6, count)
    ids = tuple(f"c{number}" for number in range(count))
    return Trial(ids, features, treated, outcome, np.zeros(count, dtype=np.int64), of_amounts=True), effect


def test_what_a_treatment_adds_to_amounts_is_learnt_though_they_vary_widely() -> None:
    trial, truth = spending(4_000, 1)
    trees, held_out, drawn = fit(trial)
    assert drawn
    fresh, effect = spending(2_000, 2)
    said, half = trees.uplift(fresh.features)
    assert np.corrcoef(said, effect)[0, 1] > 0.75
    assert said.mean() == pytest.approx(150, abs=100)
    assert np.mean(np.abs(said - effect) <= half) > 0.6
    assert trees.control(fresh.features).mean() == pytest.approx(400, abs=100)
    found = uplift_quality(trial, held_out)
    assert found.effect.low < truth.mean() < found.effect.high
    assert found.treated_rate - found.control_rate == pytest.approx(150, abs=120)
    assert 0 < found.qini.low < found.qini.value
    best = np.sort(truth)[::-1]
    curve = np.cumsum(best) / len(best)
    assert found.qini.low < curve.mean() - curve[-1] / 2


def test_the_same_experiment_gives_the_same_model() -> None:
    trial, _ = experiment(400, 4)
    first, second = (fit(trial)[0].uplift(trial.features) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_a_treatment_that_was_chosen_and_not_drawn_is_noticed_and_allowed_for() -> None:
    trial, truth = experiment(2_500, 5, chosen=1.5)
    chance, drawn = chances(trial)
    assert not drawn
    assert chance[trial.treated].mean() > chance[~trial.treated].mean() + 0.1
    naive = trial.outcome[trial.treated].mean() - trial.outcome[~trial.treated].mean()
    trees, _, _ = fit(trial)
    said = trees.uplift(trial.features)[0].mean()
    assert abs(said - truth.mean()) < 0.5 * abs(naive - truth.mean())


def test_waves_with_different_shares_are_no_choice() -> None:
    trial, _ = experiment(3_000, 6)
    wave = np.arange(3_000) % 2
    treated = np.random.default_rng(7).random(3_000) < np.where(wave == 1, 0.8, 0.3)
    features = np.column_stack([trial.features, wave])
    chance, drawn = chances(Trial(trial.ids, features, treated, trial.outcome, wave.astype(np.int64)))
    assert drawn
    assert set(np.round(chance, 1)) == {0.3, 0.8}


def test_what_was_said_of_customers_not_seen_is_shrunk_to_what_holds() -> None:
    random = np.random.default_rng(8)
    truth = random.normal(size=20_000)
    noise = random.normal(size=20_000)
    weights = borne_out(np.column_stack([2 * truth, noise]), 5 + truth + random.normal(size=20_000))
    assert weights[0] == pytest.approx(0.5, abs=0.02)
    assert weights[1] == pytest.approx(0.0, abs=0.02)
    assert not borne_out(np.column_stack([-truth, np.zeros(20_000)]), truth).any()


def test_a_line_is_found_and_one_through_noise_is_flat() -> None:
    random = np.random.default_rng(9)
    scores = random.normal(size=(2_000, 3))
    assert ridge(scores, 3 + 2 * scores[:, 1] + 0.1 * random.normal(size=2_000)) == pytest.approx([0, 2, 0], abs=0.02)
    assert np.abs(ridge(scores, random.normal(size=2_000))).max() < 0.05


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60))
def test_ranks_keep_the_order_and_equal_values_equal(values: list[int]) -> None:
    column = np.array(values, dtype=np.float64)[:, None]
    scores = Ranks.of(column)(column)[:, 0]
    assert np.isfinite(scores).all()
    order = np.argsort(column[:, 0], kind="stable")
    assert (np.diff(scores[order]) >= -1e-12).all()
    assert len(set(scores.round(9))) == len(set(values))


def test_who_is_said_to_be_the_same_is_in_no_order() -> None:
    trial, _ = experiment(500, 10)
    same = HeldOut(np.full(500, 0.1), np.arange(500) % PARTS, np.linspace(-1, 1, 500), np.full(500, 0.5))
    found = uplift_quality(trial, same)
    assert found.qini.value == pytest.approx(0.0, abs=1e-12)
    assert found.heterogeneity is None


def test_customers_are_taken_with_all_that_is_known_of_them() -> None:
    trial, _ = experiment(10, 11)
    some = taken(trial, np.arange(10) % 2 == 0)
    assert some.ids == trial.ids[::2]
    assert np.array_equal(some.treated, trial.treated[::2])


@pytest.mark.parametrize(
    ("uplift", "base", "least", "group"),
    [
        (Figure(0.2, 0.1, 0.3), 0.9, 0.0, UpliftGroup.PERSUADABLE),
        (Figure(0.2, 0.1, 0.3), 0.9, 0.15, UpliftGroup.SURE_THING),
        (Figure(0.0, -0.1, 0.1), 0.1, 0.0, UpliftGroup.LOST_CAUSE),
        (Figure(-0.2, -0.3, -0.1), 0.9, 0.0, UpliftGroup.DO_NOT_DISTURB),
    ],
)
def test_groups_go_by_the_whole_interval(uplift: Figure, base: float, least: float, group: UpliftGroup) -> None:
    assert group_of(uplift, base, least) is group


def test_an_amount_pays_from_where_its_margin_covers_the_contact() -> None:
    found = recommendation(Worth(goal_value=0, contact_cost=100, margin=0.25), np.array([900.0, 500.0, 300.0, -50.0]))
    assert found.worth.uplift_min == 400
    assert (found.customer_count, found.expected_reached) == (2, 1_400)
    assert found.expected_profit == 350 - 200
    assert found.profit_of_all == round(1_650 / 4) - 400
    assert group_of(Figure(100, -50, 250), 500, 0, usual=450) is UpliftGroup.SURE_THING
    assert group_of(Figure(100, -50, 250), 400, 0, usual=450) is UpliftGroup.LOST_CAUSE


def test_those_are_treated_whom_it_pays_to_treat() -> None:
    found = recommendation(Worth(goal_value=2_000, contact_cost=100), np.array([0.3, 0.06, 0.04, -0.2]))
    assert found.customer_count == 2
    assert found.expected_reached == pytest.approx(0.36)
    assert found.expected_profit == 720 - 200
    assert found.profit_of_all == 400 - 400
