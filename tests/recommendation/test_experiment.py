"""Experiments: everybody always sees the same, shares hold, and intervals keep their promise."""

import numpy as np
import pytest

from services.recommendation.domain.experiment import (
    Experiment,
    ExperimentInvalid,
    Outcome,
    Variant,
    against_first,
    check_experiment,
    mean_difference,
    rate_difference,
)
from services.recommendation.domain.feedback import Feedback, FeedbackInvalid, FeedbackKind, Origin, check_feedback
from services.recommendation.domain.feedback import origin_of as read_origin

DAY = 86_400_000_000
PEOPLE = [f"c{code}" for code in range(20_000)]


def experiment(*shares: int, name: str = "trial") -> Experiment:
    return Experiment(name, "home", tuple(Variant("abc"[at], share, at + 1) for at, share in enumerate(shares)))


def seen_by(trial: Experiment) -> list[str]:
    return [variant.name if (variant := trial.variant_of(who)) else "" for who in PEOPLE]


def test_everybody_sees_the_same_again_and_shares_are_as_wanted() -> None:
    trial = experiment(5000, 2500)
    first = seen_by(trial)
    assert first == seen_by(trial)
    shares = [first.count(name) / len(PEOPLE) for name in ("a", "b", "")]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.015)


def test_another_experiment_divides_people_anew() -> None:
    one, other = seen_by(experiment(5000, 5000)), seen_by(experiment(5000, 5000, name="second"))
    same = sum(left == right for left, right in zip(one, other, strict=True)) / len(PEOPLE)
    assert same == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("trial", "path"),
    [
        (experiment(5000), "variants"),
        (experiment(9000, 2000), "variants"),
        (Experiment("t", "home", (Variant("a", 1, 1), Variant("a", 1, 2))), "variants[1].name"),
    ],
)
def test_what_cannot_be_divided_is_refused(trial: Experiment, path: str) -> None:
    with pytest.raises(ExperimentInvalid) as refusal:
        check_experiment(trial)
    assert refusal.value.metadata["path"] == path


@pytest.mark.parametrize(("rate", "base"), [(0.02, 0.02), (0.05, 0.03)])
def test_intervals_of_rates_hold_the_truth_as_often_as_they_say(rate: float, base: float) -> None:
    random = np.random.default_rng(3)
    hits, base_hits = random.binomial(400, rate, 2000), random.binomial(600, base, 2000)
    held = 0
    for one, other in zip(hits.tolist(), base_hits.tolist(), strict=True):
        found = rate_difference(one, 400, other, 600)
        held += found.low <= rate - base <= found.high
    assert held / 2000 == pytest.approx(0.955, abs=0.02)


def test_intervals_of_revenue_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(4)
    held = 0
    for _ in range(500):
        sides = [random.exponential(100, 500) * (random.random(500) < 0.3) for _ in range(2)]
        one, other = (Outcome(500, 0, 0, float(side.sum()), float((side**2).sum())) for side in sides)
        found = mean_difference(one, other)
        assert found.value == pytest.approx(sides[0].mean() - sides[1].mean())
        held += found.low <= 0 <= found.high
    assert held / 500 == pytest.approx(0.95, abs=0.03)


def test_nobody_at_all_is_no_difference_and_the_first_is_compared_with_nothing() -> None:
    none, some = against_first([Outcome(), Outcome()])
    assert none is None
    assert some is not None
    assert not any(each.significant for each in some)


def test_an_id_of_a_list_says_where_it_came_from_and_nothing_else_does() -> None:
    origin = Origin(5, "höme", 3, "trial", "b")
    assert read_origin(origin.named("nonce")) == origin
    assert origin.named("1") != origin.named("2")
    for text in ("", "nonsense", "e30", "WzEsMiwzLDQsNSw2XQ", origin.named("1")[:-5], "ü"):
        assert read_origin(text) is None


def test_events_that_come_twice_or_at_an_impossible_time_are_refused() -> None:
    def event(name: str, time: int) -> Feedback:
        return Feedback(name, "r", "milk", FeedbackKind.CLICK, "", "", time, Origin())

    check_feedback([event("1", 100 * DAY), event("2", 11 * DAY)], 100 * DAY)
    for wrong in ([event("1", 0), event("1", 0)], [event("1", 102 * DAY)], [event("1", 9 * DAY)]):
        with pytest.raises(FeedbackInvalid):
            check_feedback(wrong, 100 * DAY)
