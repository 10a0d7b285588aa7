"""Rules compiled to one Ibis expression, whatever it is for: rebuild, preview, as of a moment, touched customers.

All figures that the rules need are computed in one aggregation over events and one over traits, each equal figure
once; the rules are then conditions over the figures of a customer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import Moment, positively
from services.common.rules import (
    POSITIVE,
    Aggregate,
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    ConsentCondition,
    EventCondition,
    GroupTraitCondition,
    ListCondition,
    MembersCondition,
    Not,
    Operator,
    Rule,
    ScoreCondition,
    SegmentCondition,
    SequenceCondition,
    Value,
)
from services.common.rules.bucket import BUCKETS, FNV_MODULUS, FNV_PRIME, salt_bytes
from services.segmentation.adapters.event_figures import NOTHING, scans
from services.segmentation.adapters.group_query import (
    Groups,
    group_trait,
    group_traits,
    member_count,
    members,
    of_members,
)
from services.segmentation.adapters.picks import pick
from services.segmentation.adapters.rfm_query import ranked_scores, scores
from services.segmentation.adapters.score_query import Found, with_scores
from services.segmentation.adapters.sequences import fulfilling
from services.segmentation.adapters.told import ALL_CHANNELS, granted, known_consents, listed
from services.segmentation.domain.scores import RFM, RFM_GROUP
from services.segmentation.domain.timing import trait_names

_latest = pick("max_by", "boolean")


@dataclass(frozen=True, slots=True)
class History:
    """One tenant's events and traits, or the part of them that is of the customers asked for."""

    events: ir.Table
    traits: ir.Table
    consents: ir.Table
    listed: ir.Table
    everyone: ir.Table
    """The events of all customers, which scores compare."""
    found: Found
    """What was predicted or found of all customers."""
    groups: Groups
    """Their groups."""
    some: bool = False
    """Whether it is the part of some customers."""
    ranked: bool = False
    """Whether the query is given a ranking, so that scores need nobody's events but theirs."""

    def narrowed(self, some: Callable[[ir.Table], ir.Table]) -> "History":
        """The part that ``some`` leaves of each table."""
        return History(
            some(self.events),
            some(self.traits),
            some(self.consents),
            some(self.listed),
            self.everyone,
            self.found,
            self.groups.narrowed(some),
            some=True,
        )


def evaluation(history: History, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: Moment) -> ir.Table:
    """One row for each customer seen up to ``at``: ``customer_id``, and for each of ``rules`` whether it is true.

    ``segments`` are the rules of the segments that the rules may name.
    """
    leaves = Leaves(rules.values(), segments)
    figures = leaves.figures(history, at)
    return figures.select("customer_id", **{name: leaves.condition(figures, rule) for name, rule in rules.items()})


class Leaves:
    """The figures that rules need, each equal one once, with the names of their columns."""

    def __init__(self, rules: Iterable[Rule], segments: Mapping[str, Rule]) -> None:
        self._segments = segments
        self.events: dict[EventCondition, str] = {}
        self.traits: dict[tuple[str, Comparison], str] = {}
        self.sequences: dict[SequenceCondition, str] = {}
        self.consents: dict[tuple[str, str], str] = {}
        self.lists: dict[str, str] = {}
        self.group_traits: dict[GroupTraitCondition, str] = {}
        self.members: dict[MembersCondition, str] = {}
        self.scores: set[str] = set()
        self.drawn = False
        for rule in rules:
            self.collect(rule)

    def figures(
        self,
        history: History,
        at: Moment,
        beside: Callable[[ir.Table, ir.Table], tuple[dict[str, ir.Value], dict[str, ir.Value]]] | None = None,
    ) -> ir.Table:
        """One row for each customer seen up to ``at`` with every figure; ``beside`` makes more of them out of the
        events and of the traits up to then."""
        seen = history.events.filter(history.events.time <= at)
        told = history.traits.filter(history.traits.time <= at)
        of_traits = {name: _trait_figure(told, key, at) for key, name in self.traits.items()}
        more_of_events, more_of_traits = beside(seen, told) if beside else ({}, {})
        of_everyone = {"customer_hash": seen.customer_hash.max()} if self.drawn else {}  # the same in all of them
        everyone = seen if more_of_events else seen.select("customer_id", "customer_hash")
        figures = everyone.group_by("customer_id").aggregate(**of_everyone, **more_of_events)
        for scanned in scans(history.events, self.events, at):
            figures = figures.left_join(scanned, "customer_id")
        if of_traits or more_of_traits:
            known = told.group_by("customer_id").aggregate(**of_traits, **more_of_traits)
            figures = figures.left_join(known, "customer_id")
        for more in (known_consents(history.consents, self.consents, at), listed(history.listed, self.lists, at)):
            if more is not None:
                figures = figures.left_join(more, "customer_id")
        for condition, name in self.sequences.items():
            figures = figures.left_join(fulfilling(history.events, condition, at).mutate(**{name: True}), "customer_id")
        figures = with_scores(figures, lambda: self._rfm(history, at), history.found, self.scores, at)
        if self.group_traits:
            figures = group_traits(figures, history.groups, self.group_traits, at)
        if self.members:  # the last: what members are asked is made of the other figures
            figures = members(figures, history.groups, self.members, self.condition, at)
        return figures

    @property
    def ranks(self) -> bool:
        """Whether some rule compares customers with each other."""
        return any(name in RFM or name == RFM_GROUP for name in self.scores)

    def _rfm(self, history: History, at: Moment) -> ir.Table:
        return ranked_scores(history.events, at) if history.ranked else scores(history.everyone, at)

    def figure(self, figures: ir.Table, condition: EventCondition) -> ir.Value:
        """The figure of ``condition``; null where it is missing."""
        found = figures[self.events[condition]]
        return found.fill_null(NOTHING[condition.aggregate]) if condition.aggregate in NOTHING else found

    def member_count(self, figures: ir.Table, condition: MembersCondition) -> ir.IntegerValue:
        """Of how many members what is asked is true, in the group where it is of most."""
        return member_count(figures, self.members[condition])

    def collect(self, rule: Rule) -> None:
        match rule:
            case AllOf(parts) | AnyOf(parts):
                for part in parts:
                    self.collect(part)
            case Not(part):
                self.collect(part)
            case SegmentCondition(segment_id):
                self.collect(self._segments[segment_id])
            case EventCondition():
                self.events.setdefault(rule, f"e{len(self.events)}")
            case SequenceCondition():
                self.sequences.setdefault(rule, f"s{len(self.sequences)}")
            case ScoreCondition(score):
                self.scores.add(score)
            case BucketCondition():
                self.drawn = True
            case ConsentCondition(purpose, channel):
                for each in {ALL_CHANNELS, channel}:
                    self.consents.setdefault((purpose, each), f"c{len(self.consents)}")
            case ListCondition(list_id):
                self.lists.setdefault(list_id, f"l{len(self.lists)}")
            case GroupTraitCondition():
                self.group_traits.setdefault(rule, f"g{len(self.group_traits)}")
            case MembersCondition():
                self.members.setdefault(rule, f"m{len(self.members)}")
                if rule.rule is not None:
                    self.collect(rule.rule)
            case Comparison():
                for name in trait_names(rule.field):
                    self.traits.setdefault((name, rule), f"t{len(self.traits)}")

    def condition(self, figures: ir.Table, rule: Rule) -> ir.BooleanValue:
        match rule:
            case AllOf(parts):
                return reduce(and_, [self.condition(figures, part) for part in parts])
            case AnyOf(parts):
                return reduce(or_, [self.condition(figures, part) for part in parts])
            case Not(part):
                return ~self.condition(figures, part)
            case SegmentCondition(segment_id):
                return self.condition(figures, self._segments[segment_id])
            case EventCondition():
                return _compared(self.figure(figures, rule), rule)
            case SequenceCondition():
                return figures[self.sequences[rule]].fill_null(False)
            case ScoreCondition(score, operator, values):
                return _numerically(figures[score], operator, values)
            case Comparison():
                columns = [figures[self.traits[name, rule]].fill_null(False) for name in trait_names(rule.field)]
                known = reduce(or_, columns)
                return ~known if rule.operator in POSITIVE else known
            case ConsentCondition(purpose, channel, wanted):
                given = granted(figures, self.consents[purpose, ALL_CHANNELS], self.consents[purpose, channel])
                return given if wanted else ~given
            case ListCondition(list_id):
                return figures[self.lists[list_id]].fill_null(False)
            case GroupTraitCondition():
                return group_trait(figures, rule, self.group_traits[rule])
            case MembersCondition():
                return of_members(figures, rule, self.members[rule], _counted)
            case BucketCondition(salt, start, end):
                number = bucket_of(salt, figures.customer_hash)
                return (number >= start) & (number < end)
            case _:
                raise AssertionError(f"{rule} was refused when it was saved")


def _compared(figure: ir.Value, condition: EventCondition) -> ir.BooleanValue:
    """False where the figure is missing, whatever the operator."""
    if condition.aggregate in (Aggregate.FIRST, Aggregate.LAST):
        return (~figure if condition.operator in POSITIVE else figure).fill_null(False)
    return _numerically(figure, condition.operator, condition.values)


def _counted(count: ir.Value, condition: MembersCondition) -> ir.BooleanValue:
    assert condition.operator is not None, "validation has made sure of it"
    return _numerically(count, condition.operator, condition.values)


_LITERALS: dict[type, str] = {float: "float64", str: "string"}


def _numerically(figure: ir.Value, operator: Operator, values: Sequence[Value]) -> ir.BooleanValue:
    """False where the figure is missing, whatever the operator."""
    return _NUMERIC[operator](figure, [ibis.literal(value, _LITERALS[type(value)]) for value in values]).fill_null(
        False
    )


_NUMERIC: dict[Operator, Callable[[ir.Value, list[ir.Value]], ir.BooleanValue]] = {
    Operator.EQUALS: lambda figure, values: figure == values[0],
    Operator.NOT_EQUALS: lambda figure, values: figure != values[0],
    Operator.LESS_THAN: lambda figure, values: figure < values[0],
    Operator.AT_MOST: lambda figure, values: figure <= values[0],
    Operator.GREATER_THAN: lambda figure, values: figure > values[0],
    Operator.AT_LEAST: lambda figure, values: figure >= values[0],
    Operator.BETWEEN: lambda figure, values: (figure >= values[0]) & (figure <= values[1]),
    Operator.ANY_OF: lambda figure, values: figure.isin(values),
    Operator.NOT_ANY_OF: lambda figure, values: figure.notin(values),
}


def _trait_figure(traits: ir.Table, key: tuple[str, Comparison], at: Moment) -> ir.Value:
    name, comparison = key
    order = ibis.struct({"time": traits.time, "tie": traits.tie})
    return _latest(positively(traits, comparison, at), order, where=traits.name == name)


def bucket_of(salt: str, id_hash: ir.IntegerValue) -> ir.IntegerValue:
    """``services.common.rules.bucket``, from the hash of the id."""
    state = id_hash
    for byte in salt_bytes(salt):
        state = ((state ^ byte) * FNV_PRIME) % FNV_MODULUS
    return state % BUCKETS
