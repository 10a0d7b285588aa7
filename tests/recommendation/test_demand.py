"""Decayed counts: exact however they are brought together; what is popular, and what is bought more than usual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommendation.domain.demand import Board, Fading, HalfLifeInvalid, checked_half_life, most_bought, rising

HOUR, DAY = 3_600_000_000, 86_400_000_000
FADING = Fading(3 * DAY, 24 * DAY)
Line = tuple[str, int]

LINES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4000 * DAY)), min_size=1, max_size=40)


def added(board: Board, lines: list[Line], position: int) -> Board:
    """``lines`` taken in as the adapter does: counted from the board's landmark."""
    counts = [
        (item, 2.0 ** ((time - board.landmark) / FADING.fast), 2.0 ** ((time - board.landmark) / FADING.slow))
        for item, time in lines
    ]
    board.add(counts, position, max(time for _, time in lines))
    return board


def expected(lines: list[Line], half_life: int) -> dict[str, float]:
    newest = max(time for _, time in lines)
    counts: dict[str, float] = {}
    for item, time in lines:
        counts[item] = counts.get(item, 0.0) + 2.0 ** ((time - newest) / half_life)
    return counts


@given(LINES, st.data())
def test_counts_that_are_taken_in_bit_by_bit_are_those_that_are_counted_at_once(
    lines: list[Line], data: st.DataObject
) -> None:
    lines = sorted(lines, key=lambda line: line[1])
    board = Board(FADING, landmark=lines[0][1], newest=lines[0][1])
    start = 0
    while start < len(lines):
        end = data.draw(st.integers(start + 1, len(lines)))
        # No batch reaches further than the landmark does: that is what moving it is for.
        while (lines[end - 1][1] - board.landmark) / FADING.fast > 900:
            if end == start + 1:
                return
            end -= 1
        added(board, lines[start:end], end)
        start = end
    current = board.current()
    assert {item: pair[0] for item, pair in current.items()} == pytest.approx(expected(lines, FADING.fast), abs=1e-9)
    assert {item: pair[1] for item, pair in current.items()} == pytest.approx(expected(lines, FADING.slow), abs=1e-9)


def test_the_newest_purchases_count_most_and_only_allowed_items_are_listed() -> None:
    lines = [("old", 0)] * 5 + [("new", 60 * DAY)] * 2 + [("hidden", 60 * DAY)] * 9
    board = added(Board(FADING, 60 * DAY, newest=60 * DAY), lines, 1)
    found = most_bought(board, lambda item: item != "hidden", 5)
    assert [item.item_id for item in found] == ["new", "old"]
    assert found[0].score == pytest.approx(2.0)


def test_what_sells_as_always_does_not_trend_and_what_takes_off_does() -> None:
    steady = [("steady", day * DAY + hour * HOUR) for day in range(100) for hour in range(10)]
    rocket = [("rocket", day * DAY) for day in range(100)] + [("rocket", 99 * DAY + hour * HOUR) for hour in range(12)]
    board = added(Board(FADING, 100 * DAY, newest=0), steady + rocket, 1)
    found = rising(board, lambda _: True, 5)
    assert [item.item_id for item in found] == ["rocket"]
    assert found[0].score > 2


def test_a_sale_that_lifts_the_whole_shop_is_no_trend_of_an_item() -> None:
    lines = [(item, day * DAY) for day in range(100) for item in "abcd" for _ in range(4 if day > 96 else 1)]
    board = added(Board(FADING, 100 * DAY, newest=0), lines, 1)
    assert all(item.score < 0.01 for item in rising(board, lambda _: True, 5))


def test_one_purchase_of_what_nobody_bought_is_no_trend() -> None:
    lines = [("milk", day * DAY) for day in range(50)] + [("odd", 49 * DAY)]
    board = added(Board(FADING, 50 * DAY, newest=0), lines, 1)
    assert [item.item_id for item in rising(board, lambda item: item == "odd", 5)] == []


@pytest.mark.parametrize("micros", [0, HOUR - 1, 2 * DAY + 1])
def test_a_half_life_out_of_range_is_refused(micros: int) -> None:
    with pytest.raises(HalfLifeInvalid, match="1 to 48 hours"):
        checked_half_life(micros, HOUR, 2 * DAY)
