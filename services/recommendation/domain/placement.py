"""Placements: where lists are shown, what they are made of, and the rules by which a shop controls them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound
from services.common.rules import Comparison, SegmentCondition, nodes
from services.common.rules.condition import Condition, Facts, check_condition, holds
from services.recommendation.domain.demand import HOUR
from services.recommendation.domain.exploration import Exploration
from services.recommendation.domain.item import ItemFilter
from services.recommendation.domain.tally import SPAN_MAX, DemandOptions, InteractionsInvalid, check_interactions

WITHIN_MAX = 3_650 * 86_400_000_000
"""How far back it may be looked for what a customer bought, in microseconds."""
TREND_MAX = 365 * 24 * HOUR
"""The longest half-life of what trends."""
FACTOR_MAX = 100.0


class PlacementNotFound(NotFound):
    """There is no placement of this id, or not in this version."""


class PlacementInvalid(InvalidArgument):
    """A placement that contradicts itself. Metadata ``path`` says where, ``problem`` what is wrong."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"the placement is wrong at {path}: {problem}", path=path, problem=problem)


class PlacementChanged(FailedPrecondition):
    """The placement is at another version than the caller read."""


class ItemNeeded(InvalidArgument):
    """The placement's scenario is about an item, a cart or a customer, and the request names none."""


class Scenario(IntEnum):
    """What a placement's lists are made of; the numbers are those of the contract."""

    FOR_YOU = 1
    SIMILAR = 2
    BOUGHT_TOGETHER = 3
    COMPLEMENTS = 4
    POPULAR = 5
    TRENDING = 6
    REPLENISHMENTS = 7
    NEWEST = 8


class Effect(IntEnum):
    """What a control does to the items that it is about; the numbers are those of the contract."""

    BOOST = 1
    BURY = 2
    PIN = 3
    EXCLUDE = 4


class QuotaField(IntEnum):
    """Of what a list holds only so many; the numbers are those of the contract."""

    CATEGORY = 1
    BRAND = 2


@dataclass(frozen=True, slots=True)
class Control:
    """One rule: what happens to which items, when. Times are in microseconds, 0 for always."""

    control_id: str
    effect: Effect
    items: ItemFilter
    factor: float = 1.0
    """By what BOOST multiplies (above 1) and BURY (from 0, below 1)."""
    position: int = 0
    """Where PIN puts its first item, from 1; its others come behind it."""
    when: Condition | None = None
    start_time: int = 0
    end_time: int = 0

    def applies(self, facts: Facts) -> bool:
        """Whether it is its time and its condition holds."""
        begun = facts.now >= self.start_time and (not self.end_time or facts.now < self.end_time)
        return begun and holds(self.when, facts)


@dataclass(frozen=True, slots=True)
class Quota:
    """At most so many items of one category, or of one brand, in a list."""

    field: QuotaField
    max_items: int


@dataclass(frozen=True, slots=True)
class Weights:
    """What a list is for beside relevance; every weight is 0 for nothing."""

    diversity: float = 0.0
    """From 0 (relevance alone) to 1 (difference alone)."""
    min_relevance: float = 0.0
    """What is less relevant than this share of the best item is left out."""
    freshness: float = 0.0
    freshness_half_life: int = 0
    """In microseconds."""
    margin: float = 0.0
    stock: float = 0.0
    rotation: float = 0.0
    """By what each time that an item was shown and not clicked sinks it, from 0 to 1."""
    rotation_half_life: int = 0
    """In microseconds."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A place where lists are shown."""

    placement_id: str
    title: str
    scenario: Scenario
    filter: ItemFilter
    exclude_bought: bool = False
    controls: tuple[Control, ...] = ()
    quotas: tuple[Quota, ...] = ()
    weights: Weights = Weights()
    exploration: Exploration = field(default_factory=Exploration)
    version: int = 0
    update_time: int = 0
    exclude_bought_within: int = 0
    """Nothing that the customer bought within so long, in microseconds; 0 for no such rule."""
    demand: DemandOptions = field(default_factory=DemandOptions)

    @property
    def needs_segments(self) -> bool:
        """Whether a condition asks for the customer's segments."""
        return any(isinstance(rule, SegmentCondition) for rule in self._rules())

    @property
    def needs_traits(self) -> bool:
        """Whether a condition asks for the customer's traits."""
        return any(isinstance(rule, Comparison) and rule.field.split(".")[0] == "traits" for rule in self._rules())

    def _rules(self) -> Iterator[object]:
        for control in self.controls:
            if control.when:
                yield from (node.rule for node in nodes(control.when.rule))


def check_placement(placement: Placement) -> None:
    """``PlacementInvalid``, ``RuleInvalid`` or ``RuleUnsupported`` at the first thing that is wrong, with its path."""
    for index, control in enumerate(placement.controls):
        _check_control(control, f"controls[{index}]")
    _check_repeated([each.control_id for each in placement.controls], "controls", "control_id")
    _check_repeated([each.field.name for each in placement.quotas], "quotas", "field")
    _check_contradictions(placement)
    if not 0 <= placement.exclude_bought_within <= WITHIN_MAX:
        raise PlacementInvalid("exclude_bought_within", "it must be from 0 to 3,650 days")
    weights = placement.weights
    if weights.freshness and weights.freshness_half_life <= 0:
        raise PlacementInvalid("weights.freshness_half_life", "a weight of freshness needs a half-life")
    if weights.rotation and weights.rotation_half_life <= 0:
        raise PlacementInvalid("weights.rotation_half_life", "rotation needs a half-life")
    if placement.exploration.slots and placement.exploration.impression_goal <= 0:
        raise PlacementInvalid("exploration.impression_goal", "say after how many impressions an item is not new")
    _check_demand(placement.scenario, placement.demand)


def _check_demand(scenario: Scenario, demand: DemandOptions) -> None:
    counted = DemandOptions(demand.interactions, demand.half_life, demand.segment_id)
    if counted != DemandOptions() and scenario not in (Scenario.POPULAR, Scenario.TRENDING):
        raise PlacementInvalid("demand", "only lists POPULAR and TRENDING are made of interactions")
    if demand.max_age and scenario is not Scenario.NEWEST:
        raise PlacementInvalid("demand.max_age_duration", "only lists NEWEST are made by age")
    longest = TREND_MAX if scenario is Scenario.TRENDING else SPAN_MAX
    if demand.half_life and not HOUR <= demand.half_life <= longest:
        raise PlacementInvalid("demand.half_life_duration", f"it is from one hour to {longest // (24 * HOUR):,} days")
    if demand.max_age and not HOUR <= demand.max_age <= SPAN_MAX:
        raise PlacementInvalid("demand.max_age_duration", "it is from one hour to ten years")
    try:
        check_interactions(demand.interactions, "demand.interactions")
    except InteractionsInvalid as wrong:
        raise PlacementInvalid(wrong.metadata["path"], wrong.metadata["problem"]) from None


def _check_control(control: Control, at: str) -> None:
    check_condition(control.when, f"{at}.when")
    if control.end_time and control.end_time <= control.start_time:
        raise PlacementInvalid(f"{at}.end_time", "it must be after the start")
    if control.effect is Effect.BOOST and not 1 < control.factor <= FACTOR_MAX:
        raise PlacementInvalid(f"{at}.factor", f"a boost multiplies by more than 1 and at most {FACTOR_MAX:g}")
    if control.effect is Effect.BURY and not 0 <= control.factor < 1:
        raise PlacementInvalid(f"{at}.factor", "a bury multiplies by at least 0 and less than 1")
    if control.effect is Effect.PIN and not (control.items.item_ids and 1 <= control.position <= 100):
        raise PlacementInvalid(f"{at}.position", "a pin names items and a position from 1 to 100")
    if control.effect is not Effect.PIN and control.position:
        raise PlacementInvalid(f"{at}.position", "only a pin has a position")
    if control.effect is Effect.EXCLUDE and control.items == ItemFilter():
        raise PlacementInvalid(f"{at}.items", "this excludes every item; say which")


def _check_repeated(names: Sequence[str], place: str, field: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise PlacementInvalid(f"{place}[{index}].{field}", f"{name} comes twice")


def _check_contradictions(placement: Placement) -> None:
    """Two controls that can hold at the same time for the same reason and the same items must not undo each other."""
    for index, control in enumerate(placement.controls):
        for before in placement.controls[:index]:
            if not _overlap(control, before):
                continue
            at = f"controls[{index}]"
            effects = {control.effect, before.effect}
            if control.items == before.items and len(effects) == 1:
                raise PlacementInvalid(at, f"it says the same of the same items as {before.control_id}")
            if control.items == before.items and effects == {Effect.BOOST, Effect.BURY}:
                raise PlacementInvalid(at, f"{before.control_id} does the opposite to the same items")
            if effects == {Effect.PIN, Effect.EXCLUDE} and _pinned_and_excluded(control, before):
                raise PlacementInvalid(at, f"it is about items that {before.control_id} pins or excludes")
            if effects == {Effect.PIN} and _places(control) & _places(before):
                raise PlacementInvalid(f"{at}.position", f"{before.control_id} pins another item there")


def _overlap(one: Control, other: Control) -> bool:
    """Whether both hold on the same condition, at some moment."""
    far = 2**63
    return (
        one.when == other.when and one.start_time < (other.end_time or far) and other.start_time < (one.end_time or far)
    )


def _pinned_and_excluded(one: Control, other: Control) -> bool:
    pin, exclude = (one, other) if one.effect is Effect.PIN else (other, one)
    named = exclude.items.item_ids
    return bool(named & pin.items.item_ids)


def _places(pin: Control) -> set[int]:
    return set(range(pin.position, pin.position + len(pin.items.item_ids)))
