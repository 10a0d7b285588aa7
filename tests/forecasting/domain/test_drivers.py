"""Drivers of wholes from those of their parts, and what holds where nothing was recorded."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.forecasting.domain.drivers import (
    Calendar,
    Driver,
    DriverDays,
    DriverUnknownAhead,
    day_number,
    resolve,
)
from services.forecasting.domain.measures import Dimension
from services.forecasting.domain.mixes import EVERY, Mix, Scope

FIRST = day_number(date(2026, 3, 2))
DAYS, AHEAD = 6, 2
CALENDAR = Calendar(np.arange(FIRST, FIRST + DAYS), np.arange(FIRST + 1, FIRST + DAYS + 1))
FOOD, DRINK = (Dimension.CATEGORY, "FOOD"), (Dimension.CATEGORY, "DRINK")
BREAD, MILK, TEA = ((Dimension.PRODUCT, name) for name in ("bread", "milk", "tea"))
SHOPS = {(Dimension.STORE, "1"): 0.5, (Dimension.STORE, "2"): 0.5}
MIX = Mix(
    {
        EVERY: ({FOOD: 0.75, DRINK: 0.25}, SHOPS),
        FOOD: ({BREAD: 0.5, MILK: 0.5},),
        DRINK: ({TEA: 0.8},),  # the rest are products too small to count
    }
)
SERIES: Mapping[str, Scope] = {"all": EVERY, "food": FOOD, "drink": DRINK, "bread": BREAD}


def found(
    rows: Sequence[tuple[Scope, int, float]], default: float | None = None, *, required: bool = False
) -> tuple[dict[str, list[float]], Mapping[str, tuple[str, ...]]]:
    """The driver by series and day, and the warnings."""
    days = DriverDays(
        ["d"] * len(rows),
        [int(scope[0]) for scope, _, _ in rows],
        [scope[1] for scope, _, _ in rows],
        np.array([FIRST + at for _, at, _ in rows], dtype=np.int64),
        np.array([number for _, _, number in rows], dtype=np.float64),
    )
    driver = Driver("d", "promotion", default=default, required_ahead=required)
    resolved = resolve([driver], days, SERIES, CALENDAR, AHEAD, MIX)
    numbers = resolved.numbers[:, :, 0] if resolved.names else np.zeros((len(SERIES), DAYS))
    return dict(zip(SERIES, numbers.tolist(), strict=True)), resolved.warnings


def test_a_promotion_of_a_product_reaches_its_category_and_the_total_by_its_share() -> None:
    numbers, warnings = found([(BREAD, 1, 1.0), (BREAD, 2, 1.0), (MILK, 2, 1.0)], default=0.0)
    assert numbers["bread"] == [0, 1, 1, 0, 0, 0]
    assert numbers["food"] == [0, 0.5, 1, 0, 0, 0]
    assert numbers["all"] == [0, 0.375, 0.75, 0, 0, 0]
    assert numbers["drink"] == [0] * 6
    assert not warnings


def test_what_is_recorded_of_the_whole_goes_before_its_parts_and_these_before_what_is_of_all() -> None:
    rows = [(BREAD, 0, 1.0), (FOOD, 0, 0.2), (EVERY, 1, 1.0), (MILK, 1, 0.0)]
    numbers, _ = found(rows, default=0.0)
    assert numbers["food"] == [0.2, 0.5, 0, 0, 0, 0]
    assert numbers["bread"] == [1, 1, 0, 0, 0, 0]
    # A category with a value of its own speaks for its products; what was given of all is the total's own.
    assert numbers["all"] == pytest.approx([0.15, 1, 0, 0, 0, 0])


def test_products_too_small_to_be_looked_at_are_as_all_others() -> None:
    numbers, _ = found([(TEA, 0, 1.0)], default=0.0)
    assert numbers["drink"][0] == pytest.approx(0.8)
    without, _ = found([(TEA, 0, 30.0)])
    assert without["drink"] == [30] * 6


def test_stores_speak_for_the_total_where_products_say_nothing() -> None:
    numbers, _ = found([((Dimension.STORE, "1"), 3, 1.0)], default=0.0)
    assert numbers["all"] == [0, 0, 0, 0.5, 0, 0]
    assert numbers["food"] == [0] * 6


def test_a_price_that_is_recorded_when_it_changes_holds_in_the_mean_until_the_next() -> None:
    numbers, warnings = found([(BREAD, 0, 2.0), (MILK, 0, 4.0), (BREAD, 3, 1.0)])
    assert numbers["bread"] == [2, 2, 2, 1, 1, 1]
    assert numbers["food"] == [3, 3, 3, 2.5, 2.5, 2.5]
    assert "not known on 2026-03-06" in warnings["food"][0]


def test_a_price_of_long_before_the_history_still_holds() -> None:
    numbers, _ = found([(BREAD, -900, 2.0), (BREAD, -400, 3.0), (BREAD, 2, 4.0)])
    assert numbers["bread"] == [3, 3, 4, 4, 4, 4]
    promotion, _ = found([(BREAD, -900, 1.0)], default=0.0)
    assert promotion["bread"] == [0] * 6


def test_what_is_required_ahead_may_be_known_of_the_parts() -> None:
    known = [(it, at, 1.0) for it in (BREAD, TEA) for at in (4, 5)]
    numbers, warnings = found(known, required=True)
    assert numbers["all"] == [1] * 6
    assert not warnings
    with pytest.raises(DriverUnknownAhead):
        found(known[:-1], required=True)


@given(st.lists(st.tuples(st.sampled_from([BREAD, MILK, TEA, FOOD, DRINK]), st.integers(0, 5), st.floats(0, 1))))
def test_a_whole_lies_between_its_parts(rows: list[tuple[Scope, int, float]]) -> None:
    numbers, _ = found(rows, default=0.0)
    whole, parts = np.array(numbers["all"]), np.array([numbers["food"], numbers["drink"]])
    assert (whole >= parts.min(axis=0) - 1e-9).all()
    assert (whole <= parts.max(axis=0) + 1e-9).all()
