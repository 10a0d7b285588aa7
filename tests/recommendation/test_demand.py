"""Decayed counts: exact however they are brought together; what is popular, and what is bought more than usual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommendation.domain.demand import Board, Fading, HalfLifeInvalid, checked_half_life
from services.recommendation.domain.recommendation import Recommendation
from services.recommendation.domain.tally import (
    Counting,
    InteractionKind,
    InteractionsInvalid,
    InteractionWeight,
    Part,
    Tally,
    check_interactions,
    trend,
)

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


def tally(board: Board) -> Tally:
    return Tally([Part(Counting(InteractionKind.PURCHASE, board.fading), board.current(), board.newest)])


def everything(_: str) -> bool:
    return True


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
    found = tally(board).popular(lambda item: item != "hidden", 5)
    assert [item.item_id for item in found] == ["new", "old"]
    assert found[0].score == pytest.approx(2.0)


def test_what_sells_as_always_does_not_trend_and_what_takes_off_does() -> None:
    steady = [("steady", day * DAY + hour * HOUR) for day in range(100) for hour in range(10)]
    rocket = [("rocket", day * DAY) for day in range(100)] + [("rocket", 99 * DAY + hour * HOUR) for hour in range(12)]
    board = added(Board(FADING, 100 * DAY, newest=0), steady + rocket, 1)
    found = tally(board).rising(everything, 5)
    assert [item.item_id for item in found] == ["rocket"]
    assert found[0].score > 2


def test_a_sale_that_lifts_the_whole_shop_is_no_trend_of_an_item() -> None:
    lines = [(item, day * DAY) for day in range(100) for item in "abcd" for _ in range(4 if day > 96 else 1)]
    board = added(Board(FADING, 100 * DAY, newest=0), lines, 1)
    assert all(item.score < 0.01 for item in tally(board).rising(everything, 5))


def test_one_purchase_of_what_nobody_bought_is_no_trend() -> None:
    lines = [("milk", day * DAY) for day in range(50)] + [("odd", 49 * DAY)]
    board = added(Board(FADING, 50 * DAY, newest=0), lines, 1)
    assert [item.item_id for item in tally(board).rising(lambda item: item == "odd", 5)] == []


@pytest.mark.parametrize("micros", [0, HOUR - 1, 2 * DAY + 1])
def test_a_half_life_out_of_range_is_refused(micros: int) -> None:
    with pytest.raises(HalfLifeInvalid, match="1 to 48 hours"):
        checked_half_life(micros, HOUR, 2 * DAY)


def part(kind: InteractionKind, weight: float, counts: dict[str, tuple[float, float]], newest: int = 0) -> Part:
    return Part(Counting(kind, FADING, weight), counts, newest)


def test_kinds_of_interaction_add_up_by_their_weights_and_each_is_a_reason() -> None:
    bought = part(InteractionKind.PURCHASE, 1.0, {"both": (2.0, 2.0), "bought": (3.0, 3.0)})
    viewed = part(InteractionKind.VIEW, 0.1, {"both": (30.0, 30.0), "viewed": (40.0, 40.0)})
    found = Tally([bought, viewed]).popular(everything, 5)
    assert [(item.item_id, item.score) for item in found] == [("both", 5.0), ("viewed", 4.0), ("bought", 3.0)]
    assert [(reason.interaction, reason.score) for reason in found[0].reasons] == [
        (InteractionKind.VIEW, 3.0),
        (InteractionKind.PURCHASE, 2.0),
    ]


def test_kinds_are_compared_at_the_moment_of_the_newest_of_all() -> None:
    bought = part(InteractionKind.PURCHASE, 1.0, {"old": (4.0, 4.0)}, newest=0)
    viewed = part(InteractionKind.VIEW, 1.0, {"new": (3.0, 3.0)}, newest=FADING.slow)
    found = Tally([bought, viewed]).popular(everything, 5)
    assert [(item.item_id, item.score) for item in found] == [("new", 3.0), ("old", 2.0)]


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.floats(0, 50), st.floats(0.1, 50)), min_size=1),
    st.floats(0.01, 100),
)
def test_what_trends_is_the_same_whatever_one_of_the_only_kind_counts(
    counts: dict[str, tuple[float, float]], weight: float
) -> None:
    def trends(weight: float) -> list[Recommendation]:
        return Tally([part(InteractionKind.VIEW, weight, counts)]).rising(everything, 9)

    once, often = trends(1.0), trends(weight)
    # What exceeds the bound by nothing but a rounding may be in one of them alone.
    scores = {item.item_id: item.score for item in often}
    assert all(
        scores[item.item_id] == pytest.approx(item.score, abs=1e-6) for item in once if counts[item.item_id][0] > 1.001
    )


def test_views_that_take_off_are_a_trend_before_anybody_buys() -> None:
    usual = dict.fromkeys("abcdefgh", (6.0, 48.0))
    bought, viewed = usual | {"seen": (0.0, 0.0)}, usual | {"seen": (40.0, 48.0)}
    parts = [part(InteractionKind.PURCHASE, 1.0, bought), part(InteractionKind.VIEW, 0.2, viewed)]
    found = Tally(parts).rising(everything, 1)
    assert [item.item_id for item in found] == ["seen"]
    assert found[0].reasons[0].interaction == InteractionKind.VIEW
    assert Tally(parts[:1]).rising(everything, 5) == []


def test_a_kind_has_its_own_half_life_or_that_of_the_list() -> None:
    weights = (InteractionWeight(InteractionKind.VIEW, 0.1, DAY), InteractionWeight(InteractionKind.PURCHASE, 1.0))
    assert [each.fading for each in trend(weights, 3 * DAY)] == [Fading(DAY, 8 * DAY), Fading(3 * DAY, 24 * DAY)]
    assert [each.kind for each in trend((), DAY)] == [InteractionKind.PURCHASE]


@pytest.mark.parametrize(
    ("second", "path"),
    [
        (InteractionWeight(InteractionKind.VIEW, 1.0), "interactions[1].kind"),
        (InteractionWeight(InteractionKind.CART, 0.0), "interactions[1].weight"),
        (InteractionWeight(InteractionKind.CART, float("nan")), "interactions[1].weight"),
        (InteractionWeight(InteractionKind.CART, 1.0, half_life=HOUR - 1), "interactions[1].half_life_duration"),
        (InteractionWeight(InteractionKind.CART, 1.0, window=4_000 * DAY), "interactions[1].window_duration"),
    ],
)
def test_weights_that_cannot_be_are_refused_with_their_path(second: InteractionWeight, path: str) -> None:
    with pytest.raises(InteractionsInvalid) as refusal:
        check_interactions([InteractionWeight(InteractionKind.VIEW, 1.0), second])
    assert refusal.value.metadata["path"] == path
