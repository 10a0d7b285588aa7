"""Households and accounts compiled to Ibis: what holds of the members of a customer's groups, and of the groups.

What the members are and did are the figures of customers, computed once for everybody. They are counted once for each
group, and each member takes the counts of their own groups, so the work grows with the memberships, not with the pairs
of members.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import Moment, positively
from services.common.flat.paths import values_at
from services.common.rules import POSITIVE, Comparison, GroupTraitCondition, MembersCondition, Quantifier, Rule
from services.segmentation.adapters.picks import pick
from services.segmentation.domain.timing import trait_names

KIND = "type"
"""The trait of a group that says what kind of group it is."""
_latest, _latest_text = pick("max_by", "boolean"), pick("max_by", "string")
_Holds = Callable[[ir.Table, Rule], ir.BooleanValue]
"""Whether a rule is true of a customer, given the figures of customers."""


@dataclass(frozen=True, slots=True)
class Groups:
    """What is known of one tenant's groups, or of those of some customers."""

    members: ir.Table
    traits: ir.Table

    def narrowed(self, some: Callable[[ir.Table], ir.Table]) -> "Groups":
        """The part that ``some`` leaves of the members, with what was said of their groups."""
        members = some(self.members)
        return Groups(members, self.traits.semi_join(members, "group_id"))


def group_traits(figures: ir.Table, groups: Groups, wanted: Mapping[GroupTraitCondition, str], at: Moment) -> ir.Table:
    """``figures`` with a column for each condition: whether it holds of some group; null without any."""
    compared = {
        (name, condition.trait): f"{column}_{number}"
        for condition, column in wanted.items()
        for number, name in enumerate(trait_names(condition.trait.field))
    }
    memberships = _memberships(groups, compared, at)
    found = {
        column: (
            _of_kind(memberships, condition.kind)
            & reduce(or_, [memberships[compared[name, condition.trait]] for name in trait_names(condition.trait.field)])
        ).any()
        for condition, column in wanted.items()
    }
    return figures.left_join(memberships.group_by("customer_id").aggregate(**found), "customer_id")


def group_trait(figures: ir.Table, condition: GroupTraitCondition, column: str) -> ir.BooleanValue:
    """Whether ``condition`` is true of a customer, given ``group_traits``."""
    known = figures[column].fill_null(False)
    return ~known if condition.trait.operator in POSITIVE else known


def members(
    figures: ir.Table, groups: Groups, wanted: Mapping[MembersCondition, str], holds: _Holds, at: Moment
) -> ir.Table:
    """``figures`` with columns for each condition: of how many members it is true, in the group where it is of most;
    and for ALL how many members there are, and of how many it is not true, over all groups."""
    asked = {condition.rule: f"asked_{number}" for number, condition in enumerate(wanted)}
    flags = figures.select(
        "customer_id",
        **{column: ibis.literal(True) if rule is None else holds(figures, rule) for rule, column in asked.items()},
    )
    seen = _memberships(groups, {}, at).inner_join(flags, "customer_id")
    group = ibis.window(group_by="group_id")
    own = seen.mutate(
        all_count=seen.count().over(group),
        **{f"{column}_count": seen[column].cast("int64").sum().over(group) for column in asked.values()},
    )
    found: dict[str, ir.Value] = {}
    for condition, column in wanted.items():
        name, about = asked[condition.rule], _of_kind(own, condition.kind)
        alone = own[name].cast("int64") if condition.others_only else ibis.literal(0)
        count = own[f"{name}_count"] - alone
        found[column] = count.max(where=about)
        if condition.quantifier is Quantifier.ALL:
            size = own.all_count - (1 if condition.others_only else 0)
            found[f"{column}_size"] = size.sum(where=about)
            found[f"{column}_not"] = (size - count).sum(where=about)
    return figures.left_join(own.group_by("customer_id").aggregate(**found), "customer_id")


def member_count(figures: ir.Table, column: str) -> ir.IntegerValue:
    """Of how many members of a customer's group a condition is true, given ``members``."""
    count: ir.IntegerValue = figures[column].fill_null(0)
    return count


def of_members(
    figures: ir.Table,
    condition: MembersCondition,
    column: str,
    compared: Callable[[ir.Value, MembersCondition], ir.BooleanValue],
) -> ir.BooleanValue:
    """Whether ``condition`` is true of a customer, given ``members``; ``compared`` compares a count."""
    count = member_count(figures, column)
    match condition.quantifier:
        case Quantifier.ANY:
            return count > 0
        case Quantifier.NONE:
            return count == 0
        case Quantifier.ALL:
            return (figures[f"{column}_size"].fill_null(0) > 0) & (figures[f"{column}_not"].fill_null(0) == 0)
        case Quantifier.COUNT:
            return compared(count.cast("float64"), condition)


def looked_at(
    figures: ir.Table, groups: Groups, condition: MembersCondition, holds: _Holds, customer_id: str, at: Moment
) -> ir.Table:
    """The members whom ``condition`` looks at for one customer, and of each whether what is asked is true."""
    memberships = _memberships(groups, {}, at)
    own = memberships.filter(memberships.customer_id == customer_id, _of_kind(memberships, condition.kind))
    fellows = memberships.semi_join(own, "group_id").select("customer_id").distinct()
    if condition.others_only:
        fellows = fellows.filter(fellows.customer_id != customer_id)
    true = ibis.literal(True) if condition.rule is None else holds(figures, condition.rule)
    return fellows.inner_join(figures.select("customer_id", fulfilled=true), "customer_id")


def trait_values(
    figures: ir.Table,
    groups: Groups,
    wanted: Mapping[str, GroupTraitCondition],
    newest: Callable[[ir.Table, str, str], ir.Value],
    at: Moment,
) -> ir.Table:
    """``figures`` with lists of what a customer's groups have at the field of each condition, in columns that are named
    by number after its name; ``newest`` is what the rows of a group say of a trait at a path."""
    told = groups.traits.filter(groups.traits.time <= at)
    asked = {
        f"{column}_found{number}": (condition, name)
        for column, condition in wanted.items()
        for number, name in enumerate(trait_names(condition.trait.field))
    }
    said = told.group_by("group_id").aggregate(
        **{column: newest(told, name, condition.trait.field) for column, (condition, name) in asked.items()}
    )
    rows = _memberships(groups, {}, at).left_join(said, "group_id")
    found = {
        column: rows[column].collect(where=_of_kind(rows, condition.kind) & rows[column].notnull())
        for column, (condition, _) in asked.items()
    }
    return figures.left_join(rows.group_by("customer_id").aggregate(**found), "customer_id")


def fellows(members: ir.Table, some: Callable[[ir.Table], ir.Table]) -> ir.Table:
    """Whoever is or was in a group with one of those whom ``some`` leaves of ``members``, at any time."""
    return members.semi_join(some(members), "group_id").select("customer_id").distinct()


def _memberships(groups: Groups, compared: Mapping[tuple[str, Comparison], str], at: Moment) -> ir.Table:
    """Who is in which group at ``at``, each once, with the group's kind and what was ``compared`` of its traits."""
    told = groups.members.filter(groups.members.time <= at)
    order = ibis.struct({"time": told.time, "tie": told.tie})
    # After a merge a customer has the memberships of several origins, and is a member if one of them is.
    each = told.group_by(["customer_id", "origin_id", "group_id"]).aggregate(is_member=_latest(told.member, order))
    present = each.filter(each.is_member).select("customer_id", "group_id").distinct()
    joined = present.left_join(_described(groups.traits, compared, at), "group_id")
    known = {name: joined[name].fill_null(False) for name in compared.values()}
    return joined.select("customer_id", "group_id", kind=joined.kind.fill_null(""), **known)


def _described(traits: ir.Table, compared: Mapping[tuple[str, Comparison], str], at: Moment) -> ir.Table:
    """One row for each group of which something was said: its kind, and its traits compared."""
    said = traits.filter(traits.time <= at)
    order = ibis.struct({"time": said.time, "tie": said.tie})
    kind = values_at(said.texts, KIND)[0].fill_null("")
    return said.group_by("group_id").aggregate(
        kind=_latest_text(kind, order, where=said.name == KIND),
        **{
            column: _latest(positively(said, comparison, at), order, where=said.name == name)
            for (name, comparison), column in compared.items()
        },
    )


def _of_kind(memberships: ir.Table, kind: str) -> ir.BooleanValue:
    return memberships.kind == kind if kind else ibis.literal(True)
