"""Placements: what they refuse, and how their rules make a list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.rules import Comparison, Operator, RuleUnsupported, ScoreCondition, SegmentCondition
from services.common.rules.condition import Condition, Facts
from services.recommendation.domain.control import Matched, Situation, controlled
from services.recommendation.domain.item import Facets, ItemFilter
from services.recommendation.domain.placement import (
    Control,
    Effect,
    Placement,
    PlacementInvalid,
    Quota,
    QuotaField,
    Scenario,
    Weights,
    check_placement,
)
from services.recommendation.domain.recommendation import AppliedKind, Reason, ReasonKind, Recommendation

DAY = 86_400_000_000
NOW = 1000 * DAY
A, B = ItemFilter(item_ids=frozenset("a")), ItemFilter(item_ids=frozenset("b"))
PHONE = Condition(Comparison("context.device", Operator.EQUALS, ("phone",)))


def placement(*controls: Control, **values: object) -> Placement:
    return Placement("home", "", Scenario.FOR_YOU, ItemFilter(), controls=controls, **values)  # type: ignore[arg-type]


def candidates(*scores: float) -> list[Recommendation]:
    names = "abcdefghij"
    return [Recommendation(names[at], (Reason(ReasonKind.POPULAR, score),)) for at, score in enumerate(scores)]


def situation(facets: dict[str, Facets] | None = None, *matched: Matched, alike: float = 0.0) -> Situation:
    def likeness(ids: object) -> np.ndarray:
        count = len(list(ids))  # type: ignore[call-overload]
        return np.full((count, count), alike) + (1 - alike) * np.eye(count)

    return Situation(facets or {}, likeness, matched, NOW)


def ids(items: list[Recommendation]) -> str:
    return "".join(item.item_id for item in items)


REFUSED = [
    ((Control("1", Effect.PIN, A, position=1), Control("2", Effect.EXCLUDE, A)), "controls[1]"),
    ((Control("1", Effect.BOOST, A, 2), Control("2", Effect.BURY, A, 0.5)), "controls[1]"),
    ((Control("1", Effect.BOOST, A, 2), Control("2", Effect.BOOST, A, 3)), "controls[1]"),
    ((Control("1", Effect.PIN, A, position=2), Control("2", Effect.PIN, B, position=2)), "controls[1].position"),
    ((Control("1", Effect.BOOST, A, 2), Control("1", Effect.BOOST, B, 2)), "controls[1].control_id"),
    ((Control("1", Effect.BOOST, A, 1),), "controls[0].factor"),
    ((Control("1", Effect.BOOST, A, float("nan")),), "controls[0].factor"),
    ((Control("1", Effect.BURY, A, 1),), "controls[0].factor"),
    ((Control("1", Effect.PIN, ItemFilter(), position=1),), "controls[0].position"),
    ((Control("1", Effect.BOOST, A, 2, position=1),), "controls[0].position"),
    ((Control("1", Effect.EXCLUDE, ItemFilter()),), "controls[0].items"),
    ((Control("1", Effect.EXCLUDE, A, start_time=5, end_time=5),), "controls[0].end_time"),
]


@pytest.mark.parametrize(("controls", "path"), REFUSED)
def test_what_contradicts_or_repeats_itself_is_refused_with_its_place(controls: tuple[Control, ...], path: str) -> None:
    with pytest.raises(PlacementInvalid) as refusal:
        check_placement(placement(*controls))
    assert refusal.value.metadata["path"] == path


def test_what_never_meets_is_no_contradiction() -> None:
    check_placement(placement(Control("1", Effect.BOOST, A, 2), Control("2", Effect.BURY, A, 0.5, when=PHONE)))
    early = Control("1", Effect.PIN, A, position=1, end_time=5)
    check_placement(placement(early, Control("2", Effect.EXCLUDE, A, start_time=5)))


def test_a_quota_twice_and_freshness_without_a_half_life_are_refused() -> None:
    with pytest.raises(PlacementInvalid, match="BRAND comes twice"):
        check_placement(placement(quotas=(Quota(QuotaField.BRAND, 1), Quota(QuotaField.BRAND, 2))))
    with pytest.raises(PlacementInvalid, match="half-life"):
        check_placement(placement(weights=Weights(freshness=1)))


def test_a_condition_that_needs_more_than_a_visit_tells_is_refused_with_its_path() -> None:
    when = Condition(ScoreCondition("churn", Operator.AT_LEAST, (0.5,)))
    with pytest.raises(RuleUnsupported, match=r"controls\[0\].when.score"):
        check_placement(placement(Control("1", Effect.BOOST, A, 2, when=when)))


def test_a_control_holds_in_its_time_for_its_segment_and_context() -> None:
    timed = Control("1", Effect.BOOST, A, 2, start_time=NOW, end_time=NOW + DAY)
    assert [timed.applies(Facts({}, now=at)) for at in (NOW - 1, NOW, NOW + DAY)] == [False, True, False]
    vip = Control("1", Effect.BOOST, A, 2, when=Condition(SegmentCondition("vip")))
    assert vip.applies(Facts({}, "ann", frozenset({"vip"})))
    assert not vip.applies(Facts({}, "ann"))
    phone = Control("1", Effect.BOOST, A, 2, when=PHONE)
    assert phone.applies(Facts({"context": {"device": "phone"}}))
    assert not phone.applies(Facts({"context": {}}))
    assert placement(vip).needs_segments
    assert not placement(phone).needs_segments
    assert placement(Control("1", Effect.BOOST, A, 2, when=Condition(Comparison("traits.age", Operator.EXISTS)))
                     ).needs_traits  # fmt: skip


def test_boosts_and_buries_multiply_and_are_told() -> None:
    boost, bury = Matched("up", Effect.BOOST, 3, 0, ("c",)), Matched("down", Effect.BURY, 0.1, 0, ("a",))
    found = controlled(candidates(1, 0.9, 0.5), placement(), situation(None, boost, bury), 3)
    assert ids(found) == "cba"
    assert [item.score for item in found] == pytest.approx([1.5, 0.9, 0.1])
    assert [(each.kind, each.control_id, each.value) for each in found[0].applied] == [(AppliedKind.BOOST, "up", 3)]


def test_objectives_lift_what_is_fresh_earns_and_is_there() -> None:
    facets = {
        "a": Facets(),
        "b": Facets(publish_time=NOW),
        "c": Facets(margin=0.8),
        "d": Facets(stock=10),
        "e": Facets(publish_time=NOW - 10 * DAY),
    }
    weights = Weights(freshness=1, freshness_half_life=10 * DAY, margin=1, stock=1)
    found = controlled(candidates(1, 1, 1, 1, 1), placement(weights=weights), situation(facets), 5)
    scores = {item.item_id: item.score for item in found}
    assert scores == pytest.approx({"a": 1, "b": 2, "c": 1.8, "d": 1.5, "e": 1.5})


def test_what_is_not_relevant_enough_is_left_out() -> None:
    found = controlled(candidates(10, 6, 4), placement(weights=Weights(min_relevance=0.5)), situation(), 3)
    assert ids(found) == "ab"


def test_quotas_hold_and_the_next_best_comes_instead() -> None:
    facets = {name: Facets(("FOOD", "MILK" if name < "d" else "BREAD"), f"brand {name < 'c'}") for name in "abcdef"}
    quota = Quota(QuotaField.CATEGORY, 2)
    assert ids(controlled(candidates(6, 5, 4, 3, 2, 1), placement(quotas=(quota,)), situation(facets), 4)) == "abde"
    both = (quota, Quota(QuotaField.BRAND, 1))
    assert ids(controlled(candidates(6, 5, 4, 3, 2, 1), placement(quotas=both), situation(facets), 4)) == "ac"


def test_diversity_takes_what_is_different_although_it_is_worth_less() -> None:
    def likeness(names: object) -> np.ndarray:
        twins = np.eye(3)
        twins[0, 1] = twins[1, 0] = 1
        return twins

    here = Situation({}, likeness, (), NOW)
    plain = controlled(candidates(1, 0.9, 0.5), placement(), here, 3)
    mixed = controlled(candidates(1, 0.9, 0.5), placement(weights=Weights(diversity=0.5)), here, 3)
    assert (ids(plain), ids(mixed)) == ("abc", "acb")
    assert [each.kind for each in mixed[2].applied] == [AppliedKind.DIVERSITY]


def test_pins_are_in_their_places_even_what_nothing_else_found() -> None:
    pins = (Matched("p", Effect.PIN, 1, 2, ("x", "c")),)
    found = controlled(candidates(3, 2, 1), placement(), situation(None, *pins), 4)
    assert ids(found) == "axcb"
    assert [reason.kind for reason in found[1].reasons] == [ReasonKind.PINNED]
    assert found[2].reasons[0].kind is ReasonKind.POPULAR
    assert [each.value for item in found[1:3] for each in item.applied] == [2, 3]


@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=10),
    st.floats(0, 1),
    st.integers(1, 3),
    st.integers(1, 10),
    st.data(),
)
def test_no_list_holds_an_item_twice_or_more_than_its_quota(
    scores: list[float], diversity: float, most: int, count: int, data: st.DataObject
) -> None:
    brands = {"abcdefghij"[at]: data.draw(st.sampled_from(["x", "y", ""])) for at in range(len(scores))}
    wanted = placement(quotas=(Quota(QuotaField.BRAND, most),), weights=Weights(diversity=diversity))
    facets = {name: Facets(brand=brand) for name, brand in brands.items()}
    found = controlled(candidates(*scores), wanted, situation(facets, alike=0.3), count)
    assert len(set(ids(found))) == len(found) <= count
    for brand in ("x", "y"):
        assert sum(brands[item.item_id] == brand for item in found) <= most
