"""What changes while a list is being made, with an index that lets it happen."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from services.recommendation.adapters import snapshots
from services.recommendation.domain.history import Bought
from services.recommendation.domain.item import ItemFilter
from services.recommendation.domain.selection import Selection
from services.recommendation.domain.shelf import Shelf
from services.recommendation.handlers.recommend import Asker, Sources, Wish, recommend
from services.recommendation.handlers.related import find_similar_items
from services.recommendation.ports import Live, VectorIndex
from tests.recommendation.making import catalogue


class Interrupted:
    """An index in which something happens between the search and its answer."""

    def __init__(self, index: VectorIndex, happening: Callable[[], None]) -> None:
        self._index, self._happening = index, happening

    async def search(self, queries: np.ndarray, count: int, allowed: Selection) -> tuple[np.ndarray, np.ndarray]:
        found = await self._index.search(queries, count, allowed)
        self._happening()
        return found


class Here:
    """The ports that a list needs, over one shelf and one model."""

    def __init__(self, shelf: Shelf, live: Live) -> None:
        self._shelf, self._live = shelf, live

    async def shelf(self, tenant: str) -> Shelf:
        return self._shelf

    async def live(self, tenant: str) -> Live:
        return self._live

    async def bought_since(self, tenant: str, position: int, customer_ids: Sequence[str]) -> dict[str, list[Bought]]:
        return {}

    async def moved_since(self, tenant: str, position: int) -> frozenset[str]:
        return frozenset()


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    for item in catalogue():
        shelf.put(item)
    return shelf


@pytest.fixture
def live(trained_folder: Path) -> Live:
    (folder,) = (trained_folder / "recommendation-models" / "tenant-acme").iterdir()
    return snapshots.read(folder)


def sources(shelf: Shelf, live: Live, happening: Callable[[], None]) -> Sources:
    here = Here(shelf, Live(live.model, Interrupted(live.targets, happening), Interrupted(live.likenesses, happening)))
    return Sources(here, here, here, here)  # type: ignore[arg-type]  # it has what a list needs, and no more


async def test_items_that_are_deleted_while_a_list_is_made_are_not_in_it(shelf: Shelf, live: Live) -> None:
    wish = Wish(24, ItemFilter(), exclude_bought=True)
    (before,) = await recommend(sources(shelf, live, lambda: None), "acme", [Asker("c1")], wish)
    gone = before.items[0].item_id
    (after,) = await recommend(sources(shelf, live, lambda: shelf.remove(gone)), "acme", [Asker("c1")], wish)
    assert {item.item_id for item in after.items} == {item.item_id for item in before.items} - {gone}


async def test_items_that_are_deleted_while_alternatives_are_sought_are_not_answered(shelf: Shelf, live: Live) -> None:
    wish = Wish(5, ItemFilter())
    before = await find_similar_items(sources(shelf, live, lambda: None), "acme", "i4", wish)
    gone = before.items[0].item_id
    after = await find_similar_items(sources(shelf, live, lambda: shelf.remove(gone)), "acme", "i4", wish)
    assert gone not in {item.item_id for item in after.items}


async def test_an_item_that_comes_while_a_list_is_made_does_no_harm(shelf: Shelf, live: Live) -> None:
    extra = catalogue(30)[29]
    (answer,) = await recommend(
        sources(shelf, live, lambda: shelf.put(extra)), "acme", [Asker("c1")], Wish(5, ItemFilter())
    )
    assert len(answer.items) == 5
