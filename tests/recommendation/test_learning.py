"""Vectors on data whose answer is known, and the decomposition against LAPACK."""

import numpy as np
import pytest
from scipy import sparse

from services.recommendation.domain.history import History
from services.recommendation.domain.taste import taste_of
from services.recommendation.learning.algorithm import Algorithm, Embedding
from services.recommendation.learning.autoencoder import LinearAutoencoder
from services.recommendation.learning.contrastive import Contrastive
from services.recommendation.learning.decomposition import right_singular
from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.spectral import SHARP, Spectral
from tests.recommendation.making import Shop, shop


@pytest.fixture(
    params=[
        Spectral(dimensions=2),
        Spectral(dimensions=2, sharp=True),
        LinearAutoencoder(dimensions=2, regularisations=(10.0,)),
        Contrastive(dimensions=2),
    ],
    ids=lambda algorithm: algorithm.name,
)
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    """Every algorithm keeps the same promises."""
    chosen: Algorithm = request.param
    return chosen


@pytest.fixture
def embedding(algorithm: Algorithm) -> Embedding:
    return algorithm.fit(shop().purchases.distinct(), seed=1)


def test_customers_are_offered_new_items_of_their_own_kind(embedding: Embedding) -> None:
    habits = shop().purchases.by_customer(np.ones(len(shop().purchases), np.float32))
    for customer in range(Shop.customer_count):
        known = habits.indices[habits.indptr[customer] : habits.indptr[customer + 1]]
        taste = taste_of(History(known, np.ones(len(known), np.float32), np.ones(len(known), np.int32)), ())
        assert taste is not None
        scores = embedding.target @ taste.vector(embedding.context)
        scores[known] = -np.inf
        # Three items of the kind at least were never bought: they are the best three. Two kinds need two dimensions.
        assert {int(item) % 2 for item in np.argsort(-scores)[:3]} == {customer % 2}


def test_a_visitor_who_clicked_twice_is_offered_items_of_that_kind(embedding: Embedding) -> None:
    taste = taste_of(History(), (3, 5))
    assert taste is not None
    scores = embedding.target @ taste.vector(embedding.context)
    assert {int(item) % 2 for item in np.argsort(-scores)[:10]} == {1}


def test_the_items_most_alike_are_of_the_same_kind(embedding: Embedding) -> None:
    cosines = embedding.likeness @ embedding.likeness.T
    for item in range(Shop.item_count):
        nearest = np.argsort(-cosines[item])[:8]
        assert {int(other) % 2 for other in nearest} == {item % 2}
    assert np.allclose(np.diag(cosines), 1, atol=1e-5)


def test_sharp_vectors_are_those_worked_out_from_a_full_decomposition() -> None:
    purchases = shop().purchases.distinct()
    found = Spectral(4, sharp=True).fit(purchases, seed=1)
    habits = np.log1p(purchases.tastes(180.0).toarray().astype(np.float64))
    customers, items = habits.sum(axis=1, keepdims=True), habits.sum(axis=0)
    _, values, vectors = np.linalg.svd(habits / customers**SHARP.customer_exponent / items**SHARP.item_exponent)
    lifts = (values[:4] / values[0]) ** -SHARP.lift
    assert (np.diff(lifts) > 0).all()
    expected = vectors[:4].T * lifts / items[:, None] ** SHARP.context_exponent
    assert np.allclose(np.abs(found.context), np.abs(expected), atol=1e-3)


def test_the_same_purchases_give_the_same_vectors(algorithm: Algorithm) -> None:
    first, second = (algorithm.fit(shop().purchases.distinct(), seed=1) for _ in range(2))
    assert np.array_equal(first.target, second.target)
    assert np.array_equal(first.context, second.context)


def test_an_item_that_was_never_bought_has_no_vector(algorithm: Algorithm) -> None:
    bought = shop().purchases.distinct()
    wider = Purchases(
        bought.customers, bought.baskets, bought.items, bought.ages_days, bought.customer_count, bought.basket_count, 25
    )
    embedding = algorithm.fit(wider, seed=1)
    assert np.allclose(embedding.target[24], 0, atol=1e-4)
    assert all(np.isfinite(part).all() for part in (embedding.context, embedding.target, embedding.likeness))


def test_one_purchase_is_enough_to_learn_from(algorithm: Algorithm) -> None:
    nought = np.zeros(1, np.int32)
    embedding = algorithm.fit(Purchases(nought, nought, nought, np.zeros(1, np.float32), 1, 1, 1), seed=1)
    assert embedding.target.shape == (1, 1)


def test_singular_vectors_are_those_of_lapack() -> None:
    random = np.random.default_rng(3)
    low = random.normal(size=(120, 5)) @ np.diag([9, 7, 5, 3, 2]) @ random.normal(size=(5, 60))
    matrix = sparse.csr_array((low + 0.001 * random.normal(size=low.shape)).astype(np.float32))
    vectors, values = right_singular(matrix, 5, seed=1)
    _, expected, right = np.linalg.svd(matrix.toarray())
    assert np.allclose(values, expected[:5], rtol=1e-3)
    assert np.allclose(np.abs(np.sum(vectors.T * right[:5], axis=1)), 1, atol=1e-3)
    assert np.allclose(vectors.T @ vectors, np.eye(5), atol=1e-4)


def test_distinct_purchases_count_a_basket_once() -> None:
    codes = np.array([0, 0, 1], np.int32)
    twice = Purchases(codes, codes, np.array([4, 4, 4], np.int32), np.array([3, 3, 9], np.float32), 2, 2, 5)
    assert len(twice.distinct()) == 2
    assert twice.distinct().buyers().tolist() == [0, 0, 0, 0, 2]
    assert twice.before(5).ages_days.tolist() == [4]
    assert len(twice.within(5)) == 2
    assert twice.weights(3).tolist() == pytest.approx([0.5, 0.5, 0.125])
