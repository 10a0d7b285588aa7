"""Vector search against brute force: by every plan, with and without filters, alone and together with others."""

import asyncio
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recommendation.adapters import index as adapter
from services.recommendation.adapters import index_building as building
from services.recommendation.adapters.index import FaissIndex
from services.recommendation.adapters.index_kinds import KINDS, Breadth, Tuning
from services.recommendation.domain.selection import Selection

COUNT = 25
EXACT_MAX = 300
ROWS = 4000


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Threads that wait for a core spin, which costs a busy machine far more than it gives."""
    adapter.faiss.omp_set_num_threads(1)


def clustered(seed: int, count: int) -> np.ndarray:
    """Vectors of length 1 about 40 centres."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(5).normal(size=(40, 16))
    made = centres[random.integers(0, 40, count)] + 0.5 * random.normal(size=(count, 16))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def stretched(vectors: np.ndarray) -> np.ndarray:
    """The vectors with lengths that differ much."""
    lengths = np.random.default_rng(9).gamma(1, 1, size=(len(vectors), 1))
    return np.asarray(vectors * lengths, dtype=np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(5, ROWS)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return clustered(6, 40)


@pytest.fixture(scope="module", params=list(KINDS))
def built(request: pytest.FixtureRequest, vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> FaissIndex:
    """An index of each kind, as wide as was measured for it."""
    kind, path = request.param, tmp_path_factory.mktemp("index") / "target.index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "EXACT_MAX", EXACT_MAX)
        patch.setattr(building, "EXACT_MAX", EXACT_MAX)
        patch.setattr(building, "CHOICES", (kind,))
        assert building.build(vectors, clustered(7, 50), path)
    tuning = msgspec.json.decode(building.tuning_path(path).read_bytes(), type=Tuning)
    assert tuning.kind == kind
    return FaissIndex(vectors, path, tuning)


def brute_force(vectors: np.ndarray, queries: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    scores = np.where(allowed, queries @ vectors.T, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :COUNT]


def recall(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, expected, strict=True)]))


def filters(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Of different width; by chance, and of rows that lie together as those of a category do."""
    random = np.random.default_rng(8)
    fits = vectors @ vectors[17]
    found = {f"chance {share}": random.random(len(vectors)) < share for share in (1.0, 0.5, 0.1, 0.01)}
    return found | {f"together {share}": fits >= np.quantile(fits, 1 - share) for share in (0.5, 0.1, 0.01)}


def test_without_an_index_exactly_what_brute_force_finds_is_found(vectors: np.ndarray, queries: np.ndarray) -> None:
    for name, allowed in filters(vectors).items():
        rows, scores = FaissIndex(vectors).find(queries, COUNT, Selection(allowed))
        assert recall(rows, brute_force(vectors, queries, allowed)) == 1, name
        assert np.allclose(scores, np.einsum("qd,qrd->qr", queries, vectors[rows]), rtol=1e-4, atol=1e-4)
        assert (np.diff(scores, axis=1) <= 1e-4).all()


def test_every_kind_of_index_keeps_its_recall_under_every_filter(
    built: FaissIndex, vectors: np.ndarray, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "EXACT_MAX", EXACT_MAX)
    for name, allowed in filters(vectors).items():
        rows, scores = built.find(queries, COUNT, Selection(allowed))
        assert recall(rows, brute_force(vectors, queries, allowed)) > 0.95, name
        assert allowed[rows].all()
        assert np.allclose(scores, np.einsum("qd,qrd->qr", queries, vectors[rows]), rtol=1e-4, atol=1e-4)


def test_a_filter_that_allows_few_is_answered_exactly_whatever_the_index(
    built: FaissIndex, vectors: np.ndarray, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "EXACT_MAX", EXACT_MAX)
    allowed = np.zeros(len(vectors), dtype=bool)
    allowed[np.random.default_rng(3).choice(len(vectors), EXACT_MAX, replace=False)] = True
    rows, _ = built.find(queries, COUNT, Selection(allowed))
    assert recall(rows, brute_force(vectors, queries, allowed)) == 1


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), count=st.integers(1, 400), breadth=st.integers(1, 4))
@settings(max_examples=60)
def test_never_a_row_that_is_not_allowed_never_one_twice_and_never_fewer_than_there_are(
    vectors: np.ndarray, narrow: Path, seed: int, share: float, count: int, breadth: int
) -> None:
    random = np.random.default_rng(seed)
    allowed = random.random(len(vectors)) < share
    index = FaissIndex(vectors, narrow, Tuning("ivf_sq8", [Breadth(0.0, breadth, 0.0)], 0.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "EXACT_MAX", EXACT_MAX)
        rows, scores = index.find(clustered(seed, 3), count, Selection(allowed))
    wanted = min(count, int(allowed.sum()))
    assert rows.shape == scores.shape == (3, count)
    for line, values in zip(rows, scores, strict=True):
        assert allowed[line[:wanted]].all()
        assert len(set(line[:wanted].tolist())) == wanted
        assert (line[:wanted] >= 0).all()
        assert (line[wanted:] == -1).all()
        assert np.isneginf(values[wanted:]).all()


@pytest.fixture(scope="module")
def narrow(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inverted file that is searched far too narrowly."""
    path = tmp_path_factory.mktemp("narrow") / "target.index"
    with pytest.MonkeyPatch.context() as patch:
        for module in (adapter, building):
            patch.setattr(module, "EXACT_MAX", EXACT_MAX)
        patch.setattr(building, "CHOICES", ("ivf_sq8",))
        assert building.build(vectors, clustered(7, 20), path)
    return path


def test_of_several_kinds_the_cheapest_that_finds_enough_is_kept_and_none_where_none_does(
    vectors: np.ndarray, queries: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (adapter, building):
        monkeypatch.setattr(module, "EXACT_MAX", EXACT_MAX)
    assert building.build(vectors, queries, tmp_path / "both.index")
    tuning = msgspec.json.decode(building.tuning_path(tmp_path / "both.index").read_bytes(), type=Tuning)
    assert tuning.kind in KINDS
    assert all(each.recall >= building.wanted(each.share) for each in tuning.breadths)
    assert {path.name for path in tmp_path.iterdir()} == {"both.index", "both.tuning.json"}
    monkeypatch.setattr(building, "BREADTHS", (1,))
    assert not building.build(stretched(vectors), queries, tmp_path / "narrow.index")
    assert {path.name for path in tmp_path.iterdir()} == {"both.index", "both.tuning.json"}


def test_in_categories_that_somebody_never_buys_from_as_much_of_the_best_is_found(
    built: FaissIndex, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "EXACT_MAX", EXACT_MAX)
    centres = np.random.default_rng(5).normal(size=(40, 16))
    category = np.argmax(vectors @ centres.T, axis=1)
    allowed = category < 12
    strangers = vectors[~allowed][:100]
    rows, _ = built.find(strangers, COUNT, Selection(allowed))
    assert recall(rows, brute_force(vectors, strangers, allowed)) > 0.95
    assert allowed[rows].all()


def test_in_a_large_department_of_others_as_much_of_the_best_is_found(
    built: FaissIndex, vectors: np.ndarray, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "EXACT_MAX", EXACT_MAX)
    fits = vectors @ vectors[17]
    allowed = fits >= np.quantile(fits, 0.8)
    rows, _ = built.find(queries, COUNT, Selection(allowed))
    assert recall(rows, brute_force(vectors, queries, allowed)) > 0.95


def test_small_catalogues_need_no_index(vectors: np.ndarray, queries: np.ndarray, tmp_path: Path) -> None:
    assert not building.build(vectors, queries, tmp_path / "target.index")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at_once", [0, adapter.AT_ONCE])
async def test_searches_that_come_together_get_the_answers_that_each_would_get_alone(
    vectors: np.ndarray, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(adapter, "AT_ONCE", at_once)
    index = FaissIndex(vectors)
    everything, some = Selection(np.ones(len(vectors), dtype=bool)), Selection(np.arange(len(vectors)) % 3 == 0)
    wanted = [
        (queries[at : at + size], count, allowed)
        for at, size, count, allowed in (
            (0, 1, 5, everything), (1, 1, 9, some), (2, 1, 7, everything), (0, 40, 11, some), (3, 20, 3, everything),
        )
    ]  # fmt: skip
    found = await asyncio.gather(*(index.search(*each) for each in wanted))
    many = await index.search(np.tile(queries, (4, 1)), 5, some)
    for each, (rows, scores) in zip(wanted, found, strict=True):
        expected = index.find(*each)
        assert np.array_equal(rows, expected[0])
        assert np.allclose(scores, expected[1], rtol=1e-5)
    assert np.array_equal(many[0], np.tile(index.find(queries, 5, some)[0], (4, 1)))


async def test_a_small_search_is_answered_without_waiting_for_a_large_one(
    vectors: np.ndarray, queries: np.ndarray
) -> None:
    index, allowed = FaissIndex(vectors), Selection(np.ones(len(vectors), dtype=bool))
    large = asyncio.create_task(index.search(np.tile(queries, (8, 1)), 5, allowed))
    await asyncio.sleep(0)
    with pytest.raises(StopIteration) as answered:
        index.search(queries[:1], 5, allowed).send(None)
    assert np.array_equal(answered.value.value[0], index.find(queries[:1], 5, allowed)[0])
    assert len((await large)[0]) == 8 * len(queries)


async def test_who_goes_away_while_others_wait_leaves_them_their_answers(
    vectors: np.ndarray, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "AT_ONCE", 0)
    index, allowed = FaissIndex(vectors), Selection(np.ones(len(vectors), dtype=bool))
    waiting = [asyncio.create_task(index.search(queries[at : at + 1], 5, allowed)) for at in range(6)]
    await asyncio.sleep(0)
    waiting[3].cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[3], asyncio.CancelledError)
    for at in (0, 1, 2, 4, 5):
        answer = answers[at]
        assert not isinstance(answer, BaseException)
        assert np.array_equal(answer[0], index.find(queries[at : at + 1], 5, allowed)[0])


async def test_a_search_that_fails_tells_all_who_wait_and_the_next_one_is_made(
    vectors: np.ndarray, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "AT_ONCE", 0)
    index, allowed = FaissIndex(vectors), Selection(np.ones(len(vectors), dtype=bool))
    with pytest.raises(Exception, match=r".*"):
        await index.search(np.zeros((1, 3), dtype=np.float32), 5, allowed)
    assert (await index.search(queries[:1], 5, allowed))[0].shape == (1, 5)
