"""Vectors from what is written of items: learnt where it says something, left out where it does not, used in lists."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import sparse

from services.recommendation.adapters.interactions import Lines
from services.recommendation.app import Settings
from services.recommendation.domain.item import Item
from services.recommendation.learning import content
from services.recommendation.learning.algorithm import Embedding, unit
from services.recommendation.learning.content import Described, HashedText, content_vectors, encoder_of
from tests.recommendation.client import ids
from tests.recommendation.conftest import Start, record
from tests.recommendation.making import DAY, NOW

WORDS = ("garden", "kitchen", "office", "beach")
COUNT = 400


def described(count: int = COUNT) -> list[Described]:
    return [
        Described(f"i{code}", f"{WORDS[code % 4]} thing {code}", (f"{WORDS[code % 4]} goods",), "Own")
        for code in range(count)
    ]


def embedded(rows: np.ndarray) -> Embedding:
    vectors = rows.astype(np.float32)
    return Embedding(vectors, vectors, unit(vectors))


def made(embedding: Embedding, items: Sequence[Described] = ()) -> tuple[Embedding, float]:
    features = HashedText().encode([*described(), *items])
    found = content_vectors(features[:COUNT], embedding, np.ones(COUNT, dtype=np.int64), features[COUNT:])
    return found.embedding, found.explained


def test_an_item_lies_where_those_lie_that_are_described_like_it() -> None:
    random = np.random.default_rng(1)
    centres = random.normal(size=(4, 8))
    vectors = centres[np.arange(COUNT) % 4] + 0.1 * random.normal(size=(COUNT, 8))
    fresh = [Described(f"new {word}", f"Another {word.upper()} thing", (f"{word} goods",)) for word in WORDS]
    embedding, explained = made(embedded(vectors), fresh)
    assert explained > 0.9
    cosines = unit(embedding.target) @ unit(centres.astype(np.float32)).T
    assert cosines.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert np.allclose(np.linalg.norm(embedding.likeness, axis=1), 1, atol=1e-5)


def test_where_words_say_nothing_of_what_is_bought_there_are_no_vectors() -> None:
    noise = np.random.default_rng(2).normal(size=(COUNT, 8))
    embedding, explained = made(embedded(noise), [Described("new", "garden thing")])
    assert (len(embedding.target), explained) == (0, 0.0)
    few = HashedText().encode(described(20))
    assert not len(content_vectors(few[:10], embedded(noise[:10]), np.ones(10, np.int64), few[10:]).embedding.target)


def test_equal_texts_have_equal_features_whatever_comes_beside_them_in_order() -> None:
    one, other = HashedText().encode(described(3)), HashedText().encode(described(3))
    assert np.array_equal(one.toarray(), other.toarray())
    lengths = np.linalg.norm(one.toarray(), axis=1)
    assert np.allclose(lengths, 1)
    assert HashedText().encode([Described("bare")]).nnz == 0


class Places:
    """An encoder of a shop's own."""

    def encode(self, items: Sequence[Described]) -> sparse.csr_array:
        return sparse.csr_array(np.array([[len(item.title)] for item in items], dtype=np.float64))


def test_fewer_items_than_features_and_more_are_fitted_alike() -> None:
    random = np.random.default_rng(3)
    features, vectors = sparse.csr_array(random.normal(size=(60, 40))), random.normal(size=(60, 3))
    weights = random.random(60) + 0.1
    tall = content._Ridge.of(features, vectors, weights).fit(2.0)
    wide = content._Ridge.of(
        sparse.hstack([features, sparse.csr_array((60, 100))], format="csr"), vectors, weights
    ).fit(2.0)
    assert np.allclose(tall[0], wide[0][:40])
    assert np.allclose(wide[0][40:], 0)


def test_another_encoder_is_found_by_its_name() -> None:
    assert isinstance(encoder_of(""), HashedText)
    encoder = encoder_of("tests.recommendation.test_content:Places")
    assert encoder.encode(described(2)).shape == (2, 1)


@pytest.fixture
async def described_shop(settings: Settings, start: Start) -> None:
    """A trained shop of 240 items of two kinds that different people buy, with one of each kind that nobody bought."""
    random, lines = np.random.default_rng(5), Lines()
    for customer in range(60):
        own = np.arange(customer % 2, 240, 2)
        for basket in range(8):
            for item in random.choice(own, 8, replace=False):
                lines.tenant.append("acme")
                lines.customer_id.append(f"c{customer}")
                lines.basket_id.append(f"b{customer}.{basket}")
                lines.item_id.append(f"i{item}")
                lines.time.append(NOW - basket * 3 * DAY)
                lines.quantity.append(1.0)
                lines.amount_minor.append(100)
                lines.currency.append("USD")
    await record(settings, lines)
    async with start() as client:
        await client.upsert([*(_item(f"i{code}", code % 2) for code in range(240)), _item("new0", 0), _item("new1", 1)])
        job = await client.train(dimensions=8, selection_cpu_seconds=1)
        assert job.message == "done", job
        assert float(job.results["content.explained"]) > 0


def _item(item_id: str, kind: int) -> Item:
    return Item(item_id, f"{WORDS[kind]} thing", (f"{WORDS[kind]} goods",), "Own")


async def test_what_nobody_bought_is_offered_to_those_who_buy_the_like(described_shop: None, start: Start) -> None:
    async with start() as client:
        for kind in (0, 1):
            similar = await client.similar(f"new{kind}", count=20)
            assert {int(each[-1]) % 2 if each.startswith("i") else int(each[3:]) for each in ids(similar)} == {kind}
            offered, other = await asyncio.gather(
                *(client.recommend(f"c{who}", count=100, exclude_bought=True) for who in (kind, 1 - kind))
            )
            assert f"new{kind}" in ids(offered)
            assert f"new{kind}" not in ids(other)[:20]
            near = await client.similar(f"i{kind}", count=100)
            assert f"new{kind}" in ids(near)
