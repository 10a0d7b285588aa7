"""What a programme promises: points, validity, tiers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.domain.days import DAY_MICROS, add_months, day_of
from services.loyalty.domain.errors import TiersInvalid
from services.loyalty.domain.program import NEVER, Tier, check_tiers
from tests.loyalty.making import instant, program


@pytest.mark.parametrize(
    ("amount_minor", "rate", "points"),
    [(1234, 1, 12), (99, 1, 0), (100, 1, 1), (199, 1, 1), (150, 2, 3), (0, 5, 0), (-500, 1, 0)],
)
def test_an_order_earns_for_each_hundred_minor_units_rounded_down_once(
    amount_minor: int, rate: int, points: int
) -> None:
    assert program(points_per_100_minor=rate).points_for(amount_minor) == points


@pytest.mark.parametrize(
    ("earned", "months", "expires"),
    [
        (instant(2025, 3, 15, 23, 59), 12, instant(2026, 3, 16)),
        (instant(2025, 3, 15), 12, instant(2026, 3, 16)),
        (instant(2024, 2, 29, 12), 12, instant(2025, 3, 1)),
        (instant(2025, 1, 31, 8), 1, instant(2025, 3, 1)),
        (instant(2025, 12, 31), 2, instant(2026, 3, 1)),
    ],
)
def test_points_last_through_the_day_so_many_months_later(earned: int, months: int, expires: int) -> None:
    assert program(validity_months=months).expire_time(earned) == expires


def test_points_of_a_programme_without_validity_never_expire() -> None:
    assert program(validity_months=0).expire_time(instant(2025, 1, 1)) == NEVER


@given(st.integers(0, 40_000), st.integers(-600, 1200))
def test_months_later_is_never_more_than_a_month_length_off(day: int, months: int) -> None:
    later = add_months(day, months)
    assert abs((later - day) - months * 30.436875) <= 4


@given(st.integers(0, 30_000 * DAY_MICROS), st.integers(1, 60))
def test_later_points_never_expire_before_earlier_ones(earned: int, months: int) -> None:
    valid = program(validity_months=months)
    assert valid.expire_time(earned) <= valid.expire_time(earned + DAY_MICROS)
    assert day_of(valid.expire_time(earned)) > day_of(earned)


@pytest.mark.parametrize(
    ("qualifying", "tier", "next_tier"),
    [
        (0, "basic", "silver"),
        (99, "basic", "silver"),
        (100, "silver", "gold"),
        (500, "gold", None),
        (9999, "gold", None),
    ],
)
def test_the_tier_is_the_highest_that_is_reached(qualifying: int, tier: str, next_tier: str | None) -> None:
    reached, following = program().tier_at(qualifying), program().tier_after(qualifying)
    assert reached is not None
    assert (reached.id, following.id if following else None) == (tier, next_tier)


def test_below_the_first_threshold_there_is_no_tier() -> None:
    assert program(tiers=(Tier("gold", "Gold", 10),)).tier_at(9) is None


def test_tiers_must_ascend() -> None:
    with pytest.raises(TiersInvalid, match="gold must have a higher threshold than silver"):
        check_tiers((Tier("silver", "Silver", 10), Tier("gold", "Gold", 10)))


def test_tiers_must_not_share_an_id() -> None:
    with pytest.raises(TiersInvalid, match="two tiers have the id gold"):
        check_tiers((Tier("gold", "Silver", 10), Tier("gold", "Gold", 20)))
