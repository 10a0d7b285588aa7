"""Which categories or products are bought together."""

import asyncio
import math

from services.common.clock import Clock
from services.common.rules import PatternFault
from services.segmentation.domain.association import (
    AssociationRule,
    Associations,
    AssociationsTooMany,
    Baskets,
    Order,
    Thresholds,
    check_thresholds,
    ordered,
)
from services.segmentation.domain.funnel import check_window
from services.segmentation.domain.selection import check_filter, check_path
from services.segmentation.handlers.asking import moment
from services.segmentation.learning.associations import TooMuch, associations, frequent_itemsets
from services.segmentation.ports import BasketItems, Insights

ROUNDING = 1e-9


async def get_associations(
    insights: Insights,
    pattern_fault: PatternFault,
    clock: Clock,
    tenant: str,
    baskets: Baskets,
    wanted: Thresholds,
    order: Order,
    at: int | None,
) -> tuple[Associations, int]:
    """The rules, and the moment; ``AssociationsInvalid``, ``AssociationsTooMany``, ``RuleInvalid``,
    ``BreakdownInvalid`` for a property that is none."""
    check_filter(baskets.events, "basket", pattern_fault)
    check_window(baskets.window, "window", pattern_fault)
    check_path(baskets.property, "property")
    check_thresholds(wanted)
    asked = moment(clock, at)
    held = await insights.basket_items(tenant, baskets, asked)
    return await asyncio.to_thread(find, held, wanted, order), asked


def find(held: BasketItems, wanted: Thresholds, order: Order) -> Associations:
    """The rules in these baskets."""
    count_min = max(1, math.ceil(wanted.support * held.basket_count - ROUNDING))
    try:
        itemsets = frequent_itemsets(held.baskets, held.items, held.basket_count, count_min, wanted.size_max)
    except TooMuch:
        raise AssociationsTooMany(
            f"too many items are bought together by {wanted.support:g} of the baskets; "
            "raise support_min, lower item_count_max, or look at a shorter window",
            limit="support_min",
        ) from None
    names = held.names
    rules = [
        AssociationRule(
            tuple(sorted(names[item] for item in rule.antecedent)),
            names[rule.consequent],
            rule.count,
            rule.antecedent_count,
            rule.consequent_count,
            held.basket_count,
        )
        for rule in associations(itemsets, wanted.confidence, wanted.size_min)
        if wanted.consequent in ("", names[rule.consequent])
    ]
    return Associations(ordered(rules, order), len(itemsets), held.basket_count, len(names))
