"""The choice of how a model is made: by measurement, on a window that learning does not see."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from services.recommendation.domain.mixture import Mixture
from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.selection import Incumbent, Recipe, Selection, Wanted, recipe_of, select, worse
from services.recommendation.learning.spectral import Spectral
from services.recommendation.learning.training import train
from services.recommendation.learning.transitions import follow
from services.recommendation.learning.validation import (
    UNMEASURED,
    Blending,
    Judged,
    choose,
    holdout,
    judged,
    measure,
    new_ndcg_each,
)
from tests.evaluation_data import evaluation_data
from tests.recommendation.making import Shop, shop

QUICK = Wanted(dimensions=8, half_life_days=180.0)


def quiet(share: float, message: str) -> None:
    assert 0 <= share <= 1
    assert message


def chosen(purchases: Purchases, wanted: Wanted = QUICK, incumbent: Incumbent | None = None) -> Selection:
    return select(purchases, wanted, incumbent, seed=1, report=quiet)


def test_where_there_is_too_little_nothing_is_claimed() -> None:
    selection = chosen(shop().purchases.distinct().within(10))
    assert selection.metrics == {}
    assert selection.recipe.blending == UNMEASURED
    assert selection.recipe.algorithm.name == "spectral"


def test_on_kinds_the_model_finds_new_items_better_than_what_is_popular() -> None:
    metrics = chosen(shop(baskets_each=12).purchases.distinct()).metrics
    assert metrics["model.new.ndcg_at_20"] > metrics["popular.new.ndcg_at_20"]
    assert metrics["model.next.ndcg_at_20"] > metrics["popular.next.ndcg_at_20"]
    assert 0 < metrics["model.next.coverage_at_20"] <= 1


def test_what_is_left_open_is_chosen_and_what_is_fixed_is_kept() -> None:
    purchases = shop(baskets_each=12).purchases.distinct()
    fixed = chosen(purchases, Wanted(dimensions=2, half_life_days=33.0)).recipe.algorithm
    assert (fixed.dimensions, fixed.half_life_days) == (2, 33.0)
    steps: list[str] = []
    select(purchases, Wanted(), None, 1, lambda share, message: steps.append(message))
    assert {"spectral", "spectral_sharp", "linear_autoencoder"} <= {step.split()[1].rstrip(",") for step in steps}
    assert len({step.split("half-life ")[1] for step in steps}) > 1


def test_without_time_to_spend_one_candidate_is_measured() -> None:
    steps: list[str] = []
    select(shop(baskets_each=12).purchases.distinct(), Wanted(cpu_seconds=0.0), None, 1, lambda _, it: steps.append(it))
    assert len(steps) == 1


def moved_on(customer_count: int = 40) -> Purchases:
    """Customers who bought five items week by week for thirty weeks, and five others in each of the last ten weeks."""
    rows = []
    for customer in range(customer_count):
        liked = np.random.default_rng(customer).permutation(60)[:10]
        for week in range(40):
            items = liked[5:] if week < 10 else liked[:5]
            rows += [(customer, customer * 40 + week, int(item), 7.0 * week + 1) for item in items]
    customers, baskets, items, ages = (np.array(column) for column in zip(*rows, strict=True))
    codes = (customers.astype(np.int32), baskets.astype(np.int32), items.astype(np.int32))
    return Purchases(*codes, ages.astype(np.float32), customer_count, customer_count * 40, 60)


def test_where_customers_moved_on_their_histories_fade_faster_than_what_vectors_are_learnt_from() -> None:
    steps: list[str] = []
    wanted = Wanted(dimensions=8)
    learnt = train(moved_on(), wanted, 5, None, lambda _, message: steps.append(message))
    recipe = learnt.selection.recipe
    assert "measuring histories, half-life 30 days" in steps
    assert recipe.history_half_life_days == 30.0 < recipe.algorithm.half_life_days
    expected = moved_on().by_customer(moved_on().weights(30.0))
    assert np.allclose(learnt.histories.weights, expected.data)


def rerouted(customer_count: int = 40) -> Purchases:
    """Customers who buy an item a week: two years ago they went on from each to the next, lately to the one of twice
    its number, so that what followed long ago, of which there is more, misleads."""
    rows = []
    for customer in range(customer_count):
        long_ago = [((customer + step) % 61, 750.0 - 7 * step) for step in range(24)]
        lately = [((customer + 1) * pow(2, step, 61) % 61, 84.0 - 7 * step) for step in range(12)]
        rows += [(customer, customer * 36 + place, *line) for place, line in enumerate(long_ago + lately)]
    customers, baskets, items, ages = (np.array(column) for column in zip(*rows, strict=True))
    codes = (customers.astype(np.int32), baskets.astype(np.int32), items.astype(np.int32))
    return Purchases(*codes, ages.astype(np.float32), customer_count, customer_count * 36, 61)


def test_where_what_follows_changed_transitions_fade() -> None:
    steps: list[str] = []
    learnt = train(rerouted(), Wanted(dimensions=1), 5, None, lambda _, message: steps.append(message))
    recipe = learnt.selection.recipe
    assert {"measuring transitions, half-life 180 days", "measuring transitions, half-life 60 days"} <= set(steps)
    assert recipe.transition_days in (180.0, 60.0)
    expected = follow(rerouted(), recipe.transition_days)
    assert np.array_equal(learnt.transitions.items, expected.items)
    assert np.array_equal(learnt.transitions.strengths, expected.strengths)


def test_a_live_model_is_measured_with_transitions_that_fade_as_its_own_do() -> None:
    algorithm = Spectral(1, 180.0)
    embedding = algorithm.fit(rerouted(), 1)
    following = Blending(Mixture(0.0, 1.0), Mixture(0.0, 1.0))

    def live(transition_days: float) -> float:
        recipe = Recipe(algorithm, following, transition_days=transition_days)
        wanted = Wanted(dimensions=1, half_life_days=180.0)
        return chosen(rerouted(), wanted, Incumbent(recipe, embedding, 0.0)).metrics["live.next.ndcg_at_20"]

    assert live(60.0) > 1.2 * live(0.0)


def test_a_half_life_that_is_asked_for_is_that_of_histories_too_and_transitions_do_not_fade() -> None:
    recipe = chosen(moved_on()).recipe
    assert recipe.history_half_life_days == recipe.algorithm.half_life_days == QUICK.half_life_days
    assert recipe.transition_days == 0.0


def test_the_same_purchases_choose_the_same() -> None:
    purchases = shop(baskets_each=12).purchases.distinct()
    assert chosen(purchases) == chosen(purchases)


def incumbent(purchases: Purchases, age_days: float) -> Incumbent:
    algorithm = Spectral(8, 180.0)
    return Incumbent(
        Recipe(algorithm, Blending(Mixture(0.2, 0.2), Mixture(0, 0.2))), algorithm.fit(purchases, 1), age_days
    )


@pytest.mark.parametrize("age_days", [0.0, 40.0])
def test_a_model_as_good_as_the_live_one_is_not_worse(age_days: float) -> None:
    purchases = shop(baskets_each=12).purchases.distinct()
    selection = chosen(purchases, incumbent=incumbent(purchases, age_days))
    assert not selection.worse_than_live
    assert 0 <= selection.metrics["live.next.ndcg_at_20"] <= 1


def people(hits: list[bool]) -> list[Judged]:
    """Customers whose list begins with what they bought next, or does not hold it."""
    ones = np.ones(1, np.float32)
    return [
        Judged(np.array([1]), np.array([0]), np.array([1 if hit else 2]), ones > 0, ones, ones, ones * 0)
        for hit in hits
    ]


def test_a_model_is_worse_where_more_customers_lose_than_chance_explains() -> None:
    recipe = Recipe(Spectral(8))
    good, bad = people([True] * 40), people([False] * 40)
    assert worse(bad, recipe, good, recipe)
    assert not worse(good, recipe, bad, recipe)
    assert not worse(good, recipe, good, recipe)
    one_lost = people([True] * 39 + [False])
    assert not worse(one_lost, recipe, good, recipe)


def test_lists_of_new_items_are_judged_by_what_was_bought_for_the_first_time() -> None:
    blending = Blending(Mixture(1.0, 0.0), Mixture(0.0, 0.5))
    assert new_ndcg_each(people([True] * 3 + [False]), blending).tolist() == [1, 1, 1, 0]
    again = [replace(customer, bought=np.array([0, 1])) for customer in people([True] * 4)]
    assert new_ndcg_each(again, blending).tolist() == [0] * 4


def test_recipes_of_algorithms_that_are_gone_are_not_made() -> None:
    assert recipe_of("gone", 8, 180.0, UNMEASURED, 0.8) is None
    sharp = recipe_of("spectral_sharp", 8, 90.0, UNMEASURED, 0.8, transition_days=60.0)
    assert sharp == Recipe(Spectral(8, 90.0, sharp=True), transition_days=60.0)
    made = recipe_of("linear_autoencoder", 8, 90.0, UNMEASURED, 0.8)
    assert made is not None
    assert (made.algorithm.name, made.algorithm.dimensions, made.algorithm.half_life_days) == (
        "linear_autoencoder",
        8,
        90.0,
    )


def test_a_list_of_new_items_holds_nothing_that_was_bought() -> None:
    window = holdout(shop(baskets_each=12).purchases.distinct(), 28.0, 50)
    customers = judged(window, Spectral(8).fit(window.before, 1), 180.0, 0.8)
    assert len(customers) == Shop.customer_count
    for customer in customers:
        assert not np.intersect1d(customer.new_list(Mixture(0, 0.5)), customer.bought).size
        assert np.setdiff1d(customer.list(Mixture(1, 0)), customer.bought).size == 0


def test_a_list_of_repeat_purchases_holds_what_was_bought_in_the_order_of_the_whole_list() -> None:
    window = holdout(shop(baskets_each=12).purchases.distinct(), 28.0, 50)
    mixture = Mixture(0.5, 0.2)
    for customer in judged(window, Spectral(8).fit(window.before, 1), 180.0, 0.8):
        repeated = customer.repeat_list(mixture)
        whole = customer.list(mixture)
        assert np.array_equal(repeated[: len(whole)], whole[np.isin(whole, customer.bought)][: len(repeated)])


def test_on_a_real_grocer_new_items_beat_what_is_popular_and_the_blend_beats_own_frequencies() -> None:
    lines = pd.read_parquet(evaluation_data("complete_journey") / "transactions.parquet")
    lines = lines[lines.quantity > 0]
    ages = (lines.transaction_timestamp.max() - lines.transaction_timestamp).dt.total_seconds() / 86_400
    codes = [pd.factorize(lines[name])[0] for name in ("household_id", "basket_id", "product_id")]
    purchases = Purchases(
        codes[0].astype(np.int32), codes[1].astype(np.int32), codes[2].astype(np.int32),
        ages.to_numpy(np.float32), int(codes[0].max()) + 1, int(codes[1].max()) + 1, int(codes[2].max()) + 1,
    )  # fmt: skip
    window = holdout(purchases.distinct(), 28.0, 50)
    embedding = Spectral().fit(window.before, 1)
    customers = judged(window, embedding, 180.0, 0.8)
    metrics = measure(customers[1::2], window, choose(customers[::2]), embedding)
    for figure in ("ndcg_at_20", "recall_at_20"):
        assert metrics[f"model.new.{figure}"] > metrics[f"popular.new.{figure}"]
        assert metrics[f"model.next.{figure}"] > metrics[f"popular.next.{figure}"]
    # Repeat purchases: own frequencies are hard to beat; the blend must not lose to them.
    assert metrics["model.next.ndcg_at_20"] >= metrics["frequency.next.ndcg_at_20"]
    assert metrics["frequency.next.ndcg_at_20"] > 1.5 * metrics["vectors.next.ndcg_at_20"]
