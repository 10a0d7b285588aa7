"""Lists that are made together: the same as those that are made alone, and nobody's trouble is another's."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommendation.adapters import snapshots
from services.recommendation.domain.cells import Keys, ranges, ranks, strongest, summed
from services.recommendation.domain.history import Bought
from services.recommendation.domain.item import ItemFilter
from services.recommendation.domain.shelf import Shelf
from services.recommendation.handlers.gathering import TOGETHER_MAX, Gathering
from services.recommendation.handlers.recommend import Asker, Sources, Wish, recommend, recommend_one
from services.recommendation.ports import Live
from tests.recommendation.making import NOW, catalogue, shop

SINCE = {
    "c1": [Bought("i7", "late", NOW), Bought("nobody-knows", "late", NOW)],
    "c4": [Bought("i2", "late", NOW)],
    "new": [Bought("i3", "first", NOW)],
}
ASKERS = [
    *(Asker(f"c{code}") for code in range(6)),
    Asker("c1", ("i0", "i4")),
    Asker("", ("i5",)),
    Asker("", ("nobody-knows",)),
    Asker("new"),
    Asker("nobody"),
    Asker("c2", ("i1",)),
    Asker("c2"),
]


class Here:
    """The ports that a list needs, over one shelf and one model; of c3 the model remembers what is no longer theirs."""

    def __init__(self, live: Live) -> None:
        self._live, self._shelf = live, Shelf()
        for item in catalogue():
            self._shelf.put(item)

    async def shelf(self, tenant: str) -> Shelf:
        return self._shelf

    async def live(self, tenant: str) -> Live:
        return self._live

    async def bought_since(self, tenant: str, position: int, customer_ids: Sequence[str]) -> dict[str, list[Bought]]:
        return {each: SINCE[each] for each in customer_ids if each in SINCE}

    async def moved_since(self, tenant: str, position: int) -> frozenset[str]:
        return frozenset({"c3"})


@pytest.fixture
def sources(trained_folder: Path) -> Sources:
    (folder,) = (trained_folder / "recommendation-models" / "tenant-acme").iterdir()
    here = Here(snapshots.read(folder))
    return Sources(here, here, here, here)  # type: ignore[arg-type]  # it has what a list needs, and no more


@pytest.mark.parametrize("exclude_bought", [False, True])
@pytest.mark.parametrize("count", [3, shop().item_count])
async def test_lists_of_many_people_are_those_of_each_alone(sources: Sources, exclude_bought: bool, count: int) -> None:
    wish = Wish(count, ItemFilter(), exclude_bought)
    together = await recommend(sources, "acme", ASKERS, wish)
    for asker, answer in zip(ASKERS, together, strict=True):
        (alone,) = await recommend(sources, "acme", [asker], wish)
        assert answer.empty_reason == alone.empty_reason
        assert [item.item_id for item in answer.items] == [item.item_id for item in alone.items]
        for one, other in zip(answer.items, alone.items, strict=True):
            assert [(each.kind, tuple(each.source_item_ids)) for each in one.reasons] == [
                (each.kind, tuple(each.source_item_ids)) for each in other.reasons
            ]
            assert one.score == pytest.approx(other.score, rel=1e-5)


async def test_everybody_who_asks_at_the_same_time_gets_their_own_list(sources: Sources) -> None:
    wish = Wish(5, ItemFilter())
    answers = await asyncio.gather(*(recommend_one(sources, "acme", asker, wish) for asker in ASKERS))
    expected = await recommend(sources, "acme", ASKERS, wish)
    assert [[it.item_id for it in each.items] for each in answers] == [[it.item_id for it in e.items] for e in expected]


async def test_what_is_asked_while_an_answer_is_made_goes_together_into_the_next() -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def answer(key: str, asked: Sequence[int]) -> list[int]:
        batches.append(list(asked))
        await gate.wait()
        return [2 * each for each in asked]

    gathering: Gathering[str, int, int] = Gathering(answer)
    asking = [asyncio.create_task(gathering.ask("same", number)) for number in range(TOGETHER_MAX + 3)]
    other = asyncio.create_task(gathering.ask("another", 7))
    await asyncio.sleep(0)
    late = asyncio.create_task(gathering.ask("same", 100))
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*asking) == [2 * number for number in range(TOGETHER_MAX + 3)]
    assert (await other, await late) == (14, 200)
    assert sorted(len(batch) for batch in batches) == [1, 4, TOGETHER_MAX]


async def test_the_first_is_answered_at_once_and_those_who_come_soon_after_wait_for_each_other() -> None:
    batches: list[Sequence[int]] = []
    moment = asyncio.Event()

    async def answer(key: str, asked: Sequence[int]) -> list[int]:
        batches.append(asked)
        return list(asked)

    gathering: Gathering[str, int, int] = Gathering(answer, moment.wait)
    assert await gathering.ask("k", 1) == 1
    asking = []
    for number in (2, 3):
        asking.append(asyncio.create_task(gathering.ask("k", number)))
        await asyncio.sleep(0)
    assert batches == [[1]]
    moment.set()
    assert await asyncio.gather(*asking) == [2, 3]
    assert batches == [[1], [2, 3]]


async def test_a_failure_reaches_those_who_were_in_the_batch_and_nobody_after() -> None:
    async def answer(key: str, asked: Sequence[int]) -> list[int]:
        if 0 in asked:
            raise ValueError("zero")
        return list(asked)

    gathering: Gathering[str, int, int] = Gathering(answer)
    first = await asyncio.gather(gathering.ask("k", 0), gathering.ask("k", 1), return_exceptions=True)
    assert [type(each) for each in first] == [ValueError, ValueError]
    assert await gathering.ask("k", 2) == 2


async def test_whoever_goes_away_takes_no_answer_from_the_others() -> None:
    gate = asyncio.Event()

    async def answer(key: str, asked: Sequence[int]) -> list[int]:
        await gate.wait()
        return list(asked)

    gathering: Gathering[str, int, int] = Gathering(answer)
    gone, stays = (asyncio.create_task(gathering.ask("k", number)) for number in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    gate.set()
    assert await stays == 1
    assert (await asyncio.gather(gone, return_exceptions=True))[0].__class__ is asyncio.CancelledError


KEYS = st.lists(st.integers(0, 20), max_size=30)


@given(KEYS, KEYS)
def test_sums_by_key_are_those_of_a_dictionary(given_keys: list[int], wanted: list[int]) -> None:
    keys, sums = summed(np.array(given_keys, np.int64), np.arange(len(given_keys), dtype=np.float32))
    expected = {key: sum(at for at, other in enumerate(given_keys) if other == key) for key in given_keys}
    places, hits = keys.find(np.array(wanted, np.int64))
    assert hits.tolist() == [key in expected for key in wanted]
    assert [sums[place] for place, hit in zip(places, hits, strict=True) if hit] == [
        expected[key] for key in wanted if key in expected
    ]
    assert Keys(keys.ascending).find(keys.ascending)[1].all()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=8))
def test_ranges_and_ranks_count_each_owners_cells(pairs: list[tuple[int, int]]) -> None:
    firsts = np.array([first for first, _ in pairs], np.int64)
    owners, cells = ranges(firsts, firsts + np.array([length for _, length in pairs], np.int64))
    expected = [(at, first + step) for at, (first, length) in enumerate(pairs) for step in range(length)]
    assert list(zip(owners.tolist(), cells.tolist(), strict=True)) == expected
    assert ranks(owners).tolist() == [step for _, length in pairs for step in range(length)]


@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=6), st.integers(1, 5))
def test_the_strongest_are_the_largest_that_are_positive(lines: list[list[int]], most: int) -> None:
    places, counts = strongest(np.array(lines, np.float32), most)
    for line, found, count in zip(lines, places.tolist(), counts.tolist(), strict=True):
        order = sorted(range(len(line)), key=lambda at: -line[at])
        assert found[:count] == [at for at in order if line[at] > 0][:most]
