"""How personal discounts are distributed, and beside whom."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.domain.personal_price import Basis, Bound, PersonalPrice
from services.loyalty.domain.pricing_report import Distribution, report


def price(customer_id: str, share: int, time: int = 1, *segments: str, **more: object) -> PersonalPrice:
    given_: dict[str, object] = {
        "customer_id": customer_id,
        "offer_id": "own",
        "quote_time": time,
        "quote_id": f"{customer_id}{time}",
        "currency": "USD",
        "share": share,
        "min_share": 0,
        "max_share": 1000,
        "basis": Basis.ESTIMATED,
        "expire_time": 9,
        "segment_ids": segments,
    }
    return PersonalPrice(**{**given_, **more})  # type: ignore[arg-type]


def test_each_person_counts_once_with_the_last_of_their_quotes() -> None:
    everybody, (vip,) = report(
        [
            price("ann", 900, 1, "vip"),
            price("ann", 100, 2, "vip", bounds=(Bound.MIN_SHARE,)),
            price("bob", 300, 1, bounds=(Bound.MARGIN,)),
            price("cid", 500, 1, basis=Basis.NO_CONSENT),
            price("cid", 700, 1, offer_id="other"),
        ],
        ["vip"],
    )
    assert (everybody.person_count, everybody.share_count, everybody.mean_share) == (3, 4, 400)
    assert (everybody.low_share, everybody.median_share, everybody.high_share) == (100, 300, 700)
    assert (everybody.default_part, everybody.min_part, everybody.max_part) == (0.25, 0.25, 0.25)
    assert (vip.inside.person_count, vip.outside.person_count, vip.share_difference) == (1, 2, -400)


def test_nobody_was_quoted_anything() -> None:
    everybody, (vip,) = report([], ["vip"])
    assert everybody == Distribution() == vip.inside
    assert vip.share_difference == 0


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 1000), st.integers(1, 4), st.booleans())), st.randoms()
)
def test_a_segment_and_everybody_else_are_everybody_in_whatever_order_they_come(
    rows: list[tuple[str, int, int, bool]], random: Random
) -> None:
    prices = [price(name, share, time, *(["vip"] if inside else [])) for name, share, time, inside in rows]
    prices = list({(each.customer_id, each.quote_time): each for each in prices}.values())
    everybody, (vip,) = report(prices, ["vip"])
    random.shuffle(prices)
    assert report(prices, ["vip"]) == (everybody, (vip,))
    assert vip.inside.share_count + vip.outside.share_count == everybody.share_count
    sums = [each.mean_share * each.share_count for each in (vip.inside, vip.outside)]
    assert sum(sums) == pytest.approx(everybody.mean_share * everybody.share_count)
    assert everybody.low_share <= everybody.median_share <= everybody.high_share
