"""Vectors of what was looked at and never bought: where those lie who looked, and none where they say nothing."""

import numpy as np
import pytest
from scipy import sparse

from services.common.columnar import open_columnar
from services.recommendation.adapters.interactions import TABLES, ColumnarInteractions, Lines, Shows
from services.recommendation.app import Settings
from services.recommendation.domain.item import Item
from services.recommendation.domain.signals import SignalKind
from services.recommendation.learning.algorithm import Embedding, unit
from services.recommendation.learning.content import content_vectors
from services.recommendation.learning.viewers import joined, tastes_of_viewers, viewed_vectors
from tests.recommendation.client import ids
from tests.recommendation.conftest import Start
from tests.recommendation.making import DAY, NOW

KINDS, BOUGHT, PEOPLE = 4, 320, 400


def shop(seed: int, looking: bool = True) -> tuple[sparse.csr_array, sparse.csr_array, Embedding]:
    """Interest, tastes and vectors: people of a kind buy and look at items of their kind (or at anything); nobody
    bought the last four items, one of each kind."""
    random = np.random.default_rng(seed)
    centres = unit(random.normal(size=(KINDS, 8)).astype(np.float32))
    vectors = centres[np.arange(BOUGHT) % KINDS] + 0.1 * random.normal(size=(BOUGHT, 8)).astype(np.float32)
    alike = np.arange(PEOPLE)[:, None] % KINDS == np.arange(BOUGHT + KINDS)[None, :] % KINDS
    tastes = (random.random((PEOPLE, BOUGHT)) < 0.1 * alike[:, :BOUGHT]).astype(np.float32)
    chance = 0.1 * alike if looking else np.full(alike.shape, 0.025)
    interest = (random.random(alike.shape) < chance).astype(np.float32)
    return sparse.csr_array(interest), sparse.csr_array(tastes), Embedding(vectors, vectors, unit(vectors))


def no_words(count: int) -> sparse.csr_array:
    return sparse.csr_array((count, 3))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_item_lies_where_those_buy_who_looked_at_it(seed: int) -> None:
    interest, tastes, embedding = shop(seed)
    liked = tastes_of_viewers(interest, tastes, embedding.context)
    viewers = liked[:BOUGHT], liked[BOUGHT:]
    buyers = np.ones(BOUGHT, dtype=np.int64)
    words = no_words(BOUGHT), no_words(KINDS)
    found = viewed_vectors(words, viewers, embedding, buyers)
    assert found is not None
    assert found.content.explained > 0.8
    rows, vectors = joined(content_vectors(words[0], embedding, buyers, words[1]), KINDS, found)
    assert rows.tolist() == list(range(KINDS))
    centres = np.array([embedding.target[kind::KINDS].mean(axis=0) for kind in range(KINDS)])
    assert (unit(vectors.target) @ unit(centres).T).argmax(axis=1).tolist() == list(range(KINDS))


def test_where_anybody_looks_at_anything_there_are_no_vectors_by_viewers() -> None:
    interest, tastes, embedding = shop(4, looking=False)
    liked = tastes_of_viewers(interest, tastes, embedding.context)
    viewers = liked[:BOUGHT], liked[BOUGHT:]
    words = no_words(BOUGHT), no_words(KINDS)
    assert viewed_vectors(words, viewers, embedding, np.ones(BOUGHT, dtype=np.int64)) is None
    nobody = tastes_of_viewers(sparse.csr_array(interest.shape), tastes, embedding.context)
    assert nobody.shape[0] == BOUGHT + KINDS
    assert viewed_vectors(words, (nobody[:BOUGHT], nobody[BOUGHT:]), embedding, np.ones(BOUGHT, np.int64)) is None


def test_an_items_own_purchases_are_no_taste_of_its_viewers() -> None:
    """One person, who bought two items and looked at both: what is left of each is the other."""
    context = np.eye(2, dtype=np.float32)
    both = sparse.csr_array(np.ones((1, 2), dtype=np.float32))
    liked = tastes_of_viewers(both, both, context).toarray()
    assert liked[0] == pytest.approx([0, liked[0][1]], abs=1e-6)
    assert liked[1] == pytest.approx([liked[1][0], 0], abs=1e-6)
    assert liked[0][1] > 0


async def test_a_training_places_what_was_only_looked_at(settings: Settings, start: Start) -> None:
    random, lines, shows = np.random.default_rng(5), Lines(), Shows()
    for customer in range(60):
        own = np.arange(customer % 2, 240, 2)
        for basket in range(6):
            for item in random.choice(own, 8, replace=False):
                lines.tenant.append("acme")
                lines.customer_id.append(f"c{customer}")
                lines.basket_id.append(f"b{customer}.{basket}")
                lines.item_id.append(f"i{item}")
                lines.time.append(NOW - basket * 3 * DAY)
                lines.quantity.append(1.0)
                lines.amount_minor.append(100)
                lines.currency.append("USD")
        for name in [f"i{item}" for item in random.choice(own, 25, replace=False)] + [f"seen{customer % 2}"]:
            shows.tenant.append("acme")
            shows.customer_id.append(f"c{customer}")
            shows.origin_customer_id.append(f"c{customer}")
            shows.item_id.append(name)
            shows.kind.append(int(SignalKind.VIEW))
            shows.time.append(NOW - DAY)
    async with open_columnar(settings, TABLES) as columnar:
        await ColumnarInteractions(columnar).record(lines, "1", None, shows)
    async with start() as client:
        names = [*(f"i{code}" for code in range(240)), "seen0", "seen1", "unseen"]
        await client.upsert(Item(name) for name in names)
        job = await client.train(dimensions=8, selection_cpu_seconds=1)
        assert job.message == "done", job
        assert float(job.results["viewers.explained"]) > 0
        for kind in (0, 1):
            similar = ids(await client.similar(f"seen{kind}", count=20))
            assert len(similar) == 20
            assert {int(name[-1]) % 2 for name in similar} == {kind}
            offered = ids(await client.recommend(f"c{kind}", count=100, exclude_bought=True))
            assert f"seen{kind}" in offered
            assert f"seen{1 - kind}" not in offered[:20]
