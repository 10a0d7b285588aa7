"""Off-policy estimates: right on average where the truth is known, and on real logs of two policies."""

import numpy as np
import pandas as pd
import pytest

from services.recommendation.learning.off_policy import (
    Estimate,
    Log,
    LogInvalid,
    crossfitted,
    doubly_robust,
    ips,
    snips,
)
from tests.evaluation_data import evaluation_data

RATES = np.array([0.05, 0.1, 0.2, 0.4])
RUNNING = np.array([0.4, 0.3, 0.2, 0.1])
TARGET = np.array([[0.1, 0.2, 0.3, 0.4]])
TRUTH = float(TARGET[0] @ RATES)


def estimates(seed: int, lines: int = 2000) -> dict[str, Estimate]:
    random = np.random.default_rng(seed)
    actions = random.choice(4, lines, p=RUNNING)
    rewards = (random.random(lines) < RATES[actions]).astype(float)
    log = Log(rewards, RUNNING[actions], TARGET[0, actions])
    predicted, expected = crossfitted(actions, np.zeros(lines, np.int64), rewards, TARGET)
    return {"ips": ips(log), "snips": snips(log), "dr": doubly_robust(log, predicted, expected)}


@pytest.fixture(scope="module")
def repeated() -> list[dict[str, Estimate]]:
    return [estimates(seed) for seed in range(300)]


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_estimates_are_right_on_average_and_intervals_hold_the_truth(
    repeated: list[dict[str, Estimate]], name: str
) -> None:
    found = [each[name] for each in repeated]
    assert np.mean([each.value for each in found]) == pytest.approx(TRUTH, rel=0.02)
    held = np.mean([each.low <= TRUTH <= each.high for each in found])
    assert held == pytest.approx(0.95, abs=0.04)


def test_a_model_of_rewards_narrows_the_interval(repeated: list[dict[str, Estimate]]) -> None:
    spread = {name: np.std([each[name].value for each in repeated]) for name in ("ips", "snips", "dr")}
    assert spread["dr"] < spread["ips"]
    assert spread["snips"] < spread["ips"]


def test_the_policy_that_ran_is_worth_what_it_earned() -> None:
    rewards = np.array([0.0, 1.0, 1.0, 0.0])
    log = Log(rewards, np.full(4, 0.3), np.full(4, 0.3))
    for found in (ips(log), snips(log), doubly_robust(log, np.zeros(4), np.zeros(4))):
        assert found.value == pytest.approx(0.5)
        assert found.effective_size == pytest.approx(4)


def test_clipping_bounds_what_a_line_weighs() -> None:
    log = Log(np.ones(3), np.array([0.001, 0.5, 0.5]), np.full(3, 0.5))
    assert ips(log).value == pytest.approx(502 / 3)
    assert ips(log, clip=2).value == pytest.approx(4 / 3)


@pytest.mark.parametrize(
    ("rewards", "logged", "target"),
    [([1.0], [0.5], [0.5]), ([1.0, 0.0], [0.0, 0.5], [0.5, 0.5]), ([1.0, np.nan], [0.5, 0.5], [0.5, 0.5]),
     ([1.0, 0.0], [0.5, 0.5], [0.5, 1.5]), ([1.0, 0.0], [0.5], [0.5, 0.5])],
)  # fmt: skip
def test_a_log_that_says_nothing_is_refused(rewards: list[float], logged: list[float], target: list[float]) -> None:
    with pytest.raises(LogInvalid):
        Log(np.array(rewards), np.array(logged), np.array(target))


def test_a_target_that_would_have_chosen_nothing_of_it_is_refused() -> None:
    with pytest.raises(LogInvalid, match="none of the choices"):
        snips(Log(np.ones(2), np.ones(2), np.zeros(2)))


@pytest.mark.parametrize(("campaign", "earned"), [("all", 0.0042), ("men", 0.0069), ("women", 0.0046)])
def test_on_a_real_log_of_a_random_policy_the_other_policy_is_worth_what_it_earned(
    campaign: str, earned: float
) -> None:
    folder = evaluation_data("open_bandit")
    random, other = (pd.read_parquet(folder / f"{name}_{campaign}.parquet") for name in ("random", "bts"))
    count = int(max(random.item_id.max(), other.item_id.max())) + 1
    # Thompson sampling saw no features: what it chose at a position is its distribution there.
    target = np.stack(
        [np.bincount(other.item_id[other.position == place], minlength=count) for place in (1, 2, 3)]
    ).astype(float)
    target /= target.sum(axis=1, keepdims=True)
    actions, places = random.item_id.to_numpy(np.int64), random.position.to_numpy(np.int64) - 1
    rewards = random.click.to_numpy(np.float64)
    log = Log(rewards, random.propensity_score.to_numpy(np.float64), target[places, actions])
    predicted, expected = crossfitted(actions, places, rewards, target)
    assert earned == pytest.approx(other.click.mean())
    for found in (ips(log), snips(log), doubly_robust(log, predicted, expected)):
        assert found.low <= earned <= found.high
        assert found.high - found.low < 0.006
        assert found.effective_size > 2000
