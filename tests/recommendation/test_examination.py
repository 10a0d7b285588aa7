"""How likely places are looked at: recovered from simulated clicks, and not made up where the log says too little."""

import numpy as np
import pytest

from services.recommendation.domain.examination import Cell, ExaminationProblem, examine

PLACES = 12
TRUE = np.array([1.0, 0.8, 0.62, 0.5, 0.41, 0.35, 0.3, 0.26, 0.23, 0.2, 0.18, 0.18])
ITEMS = 400


def simulated(seed: int, lists: int = 60_000) -> list[Cell]:
    """Lists in the order of what attracts, disturbed: what attracts stands mostly in front, as lists of models do."""
    random = np.random.default_rng(seed)
    attraction = random.beta(1.2, 8.0, ITEMS)
    seen, clicked = np.zeros((ITEMS, PLACES), int), np.zeros((ITEMS, PLACES), int)
    for _ in range(lists // 1000):
        some = random.random((1000, ITEMS)).argpartition(PLACES, axis=1)[:, :PLACES]
        order = (np.log(attraction[some]) + random.normal(0, 0.7, some.shape)).argsort(axis=1)[:, ::-1]
        shown = np.take_along_axis(some, order, axis=1)
        clicks = random.random(shown.shape) < attraction[shown] * TRUE
        places = np.broadcast_to(np.arange(PLACES), shown.shape)
        np.add.at(seen, (shown, places), 1)
        np.add.at(clicked, (shown, places), clicks)
    return [
        Cell("home", str(item), place + 1, int(seen[item, place]), int(clicked[item, place]))
        for item, place in zip(*np.nonzero(seen), strict=True)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_made_the_clicks_is_recovered_where_plain_click_rates_are_far_off(seed: int) -> None:
    cells = simulated(seed)
    found = examine(cells)
    assert found.problem is ExaminationProblem.NONE
    assert [place.first for place in found.places] == list(range(1, 12))
    assert (found.places[-1].first, found.places[-1].last) == (11, 15)
    far = 0
    for place in found.places[1:]:
        error = (np.log(place.high) - np.log(place.low)) / 2 / 1.96
        assert error < 0.06
        assert abs(np.log(place.examined) - np.log(TRUE[place.first - 1])) < 5 * error
        naive = rate(cells, place.first, place.last) / rate(cells, 1, 1)
        far += abs(np.log(naive) - np.log(TRUE[place.first - 1])) > 5 * error
    assert far >= 9
    assert found.by_position[15] == found.by_position[11] == found.places[-1].examined
    assert 16 not in found.by_position


def rate(cells: list[Cell], first: int, last: int) -> float:
    there = [cell for cell in cells if first <= cell.position <= last]
    return sum(cell.clicks for cell in there) / sum(cell.impressions for cell in there)


def test_what_clicks_do_not_tell_is_not_made_up() -> None:
    few = [Cell("home", "a", place, 50, 20) for place in (1, 2)]
    assert examine(few).problem is ExaminationProblem.FEW_CLICKS
    unmoved = [Cell("home", str(place), place, 1000, 100) for place in range(1, 6)]
    assert examine(unmoved).problem is ExaminationProblem.UNMOVED
    without_first = [Cell("home", "a", place, 1000, 100) for place in (2, 3)]
    assert examine(without_first).problem is ExaminationProblem.FIRST_PLACE
    # Two islands: nothing compares places 3 and 4 with the first.
    islands = [Cell("home", "ab"[place > 2], place, 1000, 100) for place in (1, 2, 3, 4)]
    assert [place.first for place in examine(islands).places] == [1, 2]
    for nothing in (few, unmoved, without_first):
        assert not examine(nothing).by_position
    assert examine([Cell("home", "a", 1, 10, 5)]).impressions == 10


def test_the_same_item_of_two_placements_is_two() -> None:
    """In one placement the item stands first and attracts, in the other second and does not: that is no examination."""
    apart = [Cell("home", "a", 1, 1000, 300), Cell("cart", "a", 2, 1000, 30)]
    assert examine(apart).problem is ExaminationProblem.UNMOVED
    counts = ("home", 1, 300), ("home", 2, 150), ("cart", 1, 60), ("cart", 2, 30)
    moved = [Cell(where, "a", place, 1000, clicks) for where, place, clicks in counts]
    (_, second) = examine(moved).places
    assert second.examined == pytest.approx(0.5, rel=1e-3)


def test_a_place_that_is_looked_at_more_than_the_first_is_told_as_it_is() -> None:
    (_, second) = examine([Cell("home", "a", 1, 1000, 100), Cell("home", "a", 2, 1000, 200)]).places
    assert second.examined == pytest.approx(2, rel=1e-2)
    assert second.low < 2 < second.high
