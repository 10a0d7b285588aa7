"""Vector search against brute force, with and without filters, flat and by graph."""

from pathlib import Path

import numpy as np
import pytest

from services.recommendation.adapters import index as adapter
from services.recommendation.adapters.index import FaissIndex, write_graph

COUNT = 25


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    random = np.random.default_rng(5)
    clustered = random.normal(size=(40, 16))[random.integers(0, 40, 6000)] + 0.5 * random.normal(size=(6000, 16))
    return (clustered * random.gamma(2, 1, size=(6000, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return np.random.default_rng(6).normal(size=(40, 16)).astype(np.float32)


def brute_force(vectors: np.ndarray, queries: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    scores = np.where(allowed, queries @ vectors.T, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :COUNT]


def recall(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, expected, strict=True)]))


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.1, 0.01])
def test_a_flat_index_finds_exactly_what_brute_force_finds(
    vectors: np.ndarray, queries: np.ndarray, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "GATHERED_MAX", 1000)
    allowed = np.random.default_rng(8).random(len(vectors)) < share
    rows, scores = FaissIndex(vectors).find(queries, COUNT, allowed)
    assert recall(rows, brute_force(vectors, queries, allowed)) == 1
    assert np.allclose(scores, np.einsum("qd,qrd->qr", queries, vectors[rows]), rtol=1e-4, atol=1e-4)
    assert (np.diff(scores, axis=1) <= 1e-4).all()


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.1, 0.01])
def test_a_graph_keeps_its_recall_under_filters(
    vectors: np.ndarray, queries: np.ndarray, share: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(adapter, "FLAT_VECTORS_MAX", 1000)
    monkeypatch.setattr(adapter, "GATHERED_MAX", 1000)
    assert write_graph(vectors, tmp_path / "graph")
    allowed = np.random.default_rng(8).random(len(vectors)) < share
    rows, _ = FaissIndex(vectors, tmp_path / "graph").find(queries, COUNT, allowed)
    assert recall(rows, brute_force(vectors, queries, allowed)) > 0.95
    assert allowed[rows].all()


def test_where_fewer_are_allowed_the_rest_of_the_line_is_empty(vectors: np.ndarray, queries: np.ndarray) -> None:
    allowed = np.zeros(len(vectors), dtype=bool)
    assert (FaissIndex(vectors).find(queries, COUNT, allowed)[0] == -1).all()
    allowed[[7, 9]] = True
    rows, scores = FaissIndex(vectors).find(queries, COUNT, allowed)
    assert all(set(line) == {7, 9, -1} for line in rows.tolist())
    assert np.isneginf(scores[:, 2:]).all()


def test_small_catalogues_need_no_graph(vectors: np.ndarray, tmp_path: Path) -> None:
    assert not write_graph(vectors, tmp_path / "graph")
    assert not (tmp_path / "graph").exists()


async def test_searches_run_beside_the_event_loop(vectors: np.ndarray, queries: np.ndarray) -> None:
    index, allowed = FaissIndex(vectors), np.ones(len(vectors), dtype=bool)
    rows, scores = await index.search(queries, COUNT, allowed)
    expected = index.find(queries, COUNT, allowed)
    assert np.array_equal(rows, expected[0])
    assert np.array_equal(scores, expected[1])
