"""Earning rules: their definition, versions, and what makes one invalid."""

from dataclasses import dataclass, field
from enum import Enum

from services.common.rules import Comparison, SegmentCondition, nodes
from services.common.rules.condition import Condition, check_condition
from services.loyalty.domain.errors import EarningRuleInvalid
from services.loyalty.domain.records import Kind
from services.loyalty.domain.zones import Period

RULES_MAX = 200
"""Earning rules of one programme: each order is weighed by all of them."""


class Trigger(Enum):
    """What a rule is about."""

    ORDER = "order"
    EVENT = "event"
    BIRTHDAY = "birthday"
    ANNIVERSARY = "anniversary"


OCCASIONS = (Trigger.BIRTHDAY, Trigger.ANNIVERSARY)
"""The triggers that the clock pulls."""


class Rounding(Enum):
    """How parts of a point become points."""

    DOWN = "down"
    UP = "up"
    NEAREST = "nearest"


class EffectKind(Enum):
    """What a rule gives."""

    FIXED = "fixed"
    RATE = "rate"
    MULTIPLIER = "multiplier"
    PER_UNIT = "per_unit"


@dataclass(frozen=True, slots=True)
class Effect:
    """``amount`` is points, points for 100 minor units, per cent of the programme's rate, or points for a unit."""

    kind: EffectKind
    amount: int
    rounding: Rounding = Rounding.DOWN


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a rule holds; 0 and ``None`` leave an end open. Weekdays are 1 (Monday) to 7."""

    start_time: int = 0
    end_time: int | None = None
    weekdays: tuple[int, ...] = ()
    start_hour: int = 0
    end_hour: int = 0


@dataclass(frozen=True, slots=True)
class PeriodLimit:
    """A limit that begins anew with each period; 0 is none."""

    period: Period
    points: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a rule gives at most; 0 is without limit."""

    per_activity: int = 0
    per_member: tuple[PeriodLimit, ...] = ()
    budget: int = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """What a rule says."""

    name: str
    trigger: Trigger
    effect: Effect
    active: bool = True
    event_name: str = ""
    condition: Condition | None = None
    items: Condition | None = None
    schedule: Schedule = Schedule()
    priority: int = 0
    exclusive: bool = False
    stacking_group: str = ""
    caps: Caps = Caps()


@dataclass(frozen=True, slots=True)
class EarningRule:
    """One version of a rule."""

    program_id: str
    rule_id: str
    version: int
    definition: Definition
    create_time: int


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All that decides what orders and events earn in a programme beyond its rate."""

    program_id: str
    rules: tuple[EarningRule, ...] = ()
    """By id."""
    limits: tuple[PeriodLimit, ...] = ()
    limits_version: int = 0

    def rule(self, rule_id: str) -> EarningRule | None:
        """The rule, if there is one."""
        return next((rule for rule in self.rules if rule.rule_id == rule_id), None)

    def about(self, trigger: Trigger, event_name: str = "") -> list[EarningRule]:
        """The active rules about such a thing, in the order in which they are weighed."""
        found = (
            rule
            for rule in self.rules
            if rule.definition.active
            and rule.definition.trigger is trigger
            and rule.definition.event_name == event_name
        )
        return sorted(found, key=lambda rule: (-rule.definition.priority, rule.rule_id))

    def concerns(self, trigger: Trigger, event_name: str = "") -> bool:
        """Whether anything but the programme's rate decides what such a thing earns."""
        return bool(self.limits) or bool(self.about(trigger, event_name))


RULE_BOOKS = Kind("earning_rules", RuleBook)
RULE_VERSIONS = Kind("earning_rule_versions", EarningRule)


@dataclass(frozen=True, slots=True)
class ProgramUsage:
    """What each rule has given in a programme: points less what came back, and how many times."""

    program_id: str
    rules: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemberUsage:
    """What a member was given in periods that have a limit: points and times, by the rule and the period's name."""

    program_id: str
    member_id: str
    periods: dict[str, tuple[int, int]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    """When each of these periods ends."""


PROGRAM_USAGE = Kind("earning_rule_usage", ProgramUsage)
MEMBER_USAGE = Kind("member_usage", MemberUsage)


def version_id(rule: EarningRule) -> str:
    """The id under which a version is kept: in order, newest last."""
    return f"{rule.program_id}/{rule.rule_id}/{rule.version:08d}"


def check_definition(definition: Definition) -> None:
    """``EarningRuleInvalid``, ``RuleInvalid`` or ``RuleUnsupported`` unless it says what can be weighed."""
    told = definition
    is_order = told.trigger is Trigger.ORDER
    _need(bool(told.event_name) == (told.trigger is Trigger.EVENT), "event_name", "EVENT rules name their event")
    _need(is_order or told.items is None, "items", "only orders have items")
    _need(is_order or told.effect.kind is EffectKind.FIXED, "effect", "only orders have money: use fixed_points")
    schedule = told.schedule
    ordered = schedule.end_time is None or schedule.start_time < schedule.end_time
    _need(ordered, "schedule.end_time", "it must be later than start_time")
    _need(len(set(schedule.weekdays)) == len(schedule.weekdays), "schedule.weekdays", "a day is named twice")
    check_limits(told.caps.per_member, "caps.per_member")
    if told.trigger in OCCASIONS and told.condition:
        for node in nodes(told.condition.rule):
            of_member = not isinstance(node.rule, Comparison) or node.rule.field.startswith("member.")
            _need(of_member, "condition", "an occasion has no properties: only member fields and segments")
    if told.items:
        segments = any(isinstance(node.rule, SegmentCondition) for node in nodes(told.items.rule))
        _need(not segments, "items", "an item is in no segment: put that into condition")
    check_condition(told.condition, "definition.condition")
    check_condition(told.items, "definition.items")


def check_limits(limits: tuple[PeriodLimit, ...], place: str) -> None:
    """``EarningRuleInvalid`` for a limit of nothing, or two of one period."""
    for limit in limits:
        _need(bool(limit.points or limit.count), place, "a limit needs points or a count")
    _need(len({limit.period for limit in limits}) == len(limits), place, "a period is named twice")


def _need(holds: bool, place: str, problem: str) -> None:
    if not holds:
        raise EarningRuleInvalid(f"{place}: {problem}", field=place)
