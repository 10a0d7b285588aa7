"""What an offer takes off a cart, one offer after the other, in integers; no line ever costs less than its floor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from services.common.rules.condition import Condition, holds
from services.loyalty.domain.allocation import allocate
from services.loyalty.domain.cart import Cart, CartLine
from services.loyalty.domain.offer import Action, ActionKind, Chosen, Offer, VolumeTier
from services.loyalty.domain.share import WHOLE

_PHASES = {
    ActionKind.PRICE_LIST: 0,
    ActionKind.LINE_PRICE: 0,
    ActionKind.VOLUME: 0,
    ActionKind.LINE_SHARE: 1,
    ActionKind.LINE_AMOUNT: 1,
    ActionKind.PERSONAL_SHARE: 1,
    ActionKind.BUY_GET: 2,
    ActionKind.BUNDLE: 2,
    ActionKind.ORDER_SHARE: 3,
    ActionKind.ORDER_AMOUNT: 3,
}
"""Prices first, then what is off a line, then what depends on several units, the order, and at last the rest."""


def application_order(offer: Offer) -> tuple[int, int, str]:
    """Offers are applied in this order, whatever the order in which they come."""
    return _PHASES.get(offer.action.kind, 4), -offer.priority, offer.offer_id


@dataclass(frozen=True, slots=True)
class Effect:
    """What one offer did to a cart."""

    offer_id: str
    lines: dict[str, int] = field(default_factory=dict)
    """What it took off each line, where it is more than 0."""
    shipping_minor: int = 0
    gift_item_id: str = ""
    gift_quantity: int = 0
    points_multiplier: int = WHOLE

    @property
    def discount_minor(self) -> int:
        """What it took off in all."""
        return sum(self.lines.values()) + self.shipping_minor

    @property
    def idle(self) -> bool:
        """Whether it did nothing."""
        return not self.discount_minor and not self.gift_item_id and self.points_multiplier == WHOLE


Unit = tuple[CartLine, int, int]
"""A line, how many units of it, and what all units of the line cost now."""


@dataclass(slots=True)
class Pricing:
    """A cart while offers are applied to it."""

    cart: Cart
    now: int
    shares: Mapping[str, int] = field(default_factory=dict)
    """What personal offers have for this person, in ten-thousandths."""
    left: dict[str, int] = field(init=False)
    shipping_left: int = field(init=False)
    _matches: dict[Condition, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Back to list prices; what matches what is remembered."""
        self.left = {line.line_id: line.total_minor for line in self.cart.lines}
        self.shipping_left = self.cart.shipping_minor

    def matching(self, items: Condition | None) -> list[CartLine]:
        """The lines that a condition on items is true of."""
        if items is None:
            return list(self.cart.lines)
        found = self._matches.get(items)
        if found is None:
            cart, now = self.cart, self.now
            found = frozenset(line.line_id for line in cart.lines if holds(items, cart.line_facts(line, now)))
            self._matches[items] = found
        return [line for line in self.cart.lines if line.line_id in found]

    def apply(self, offer: Offer) -> Effect:
        """Apply one offer to what the cart costs by now."""
        action = offer.action
        match action.kind:
            case ActionKind.FREE_SHIPPING:
                off = min(self.shipping_left, action.max_minor or self.shipping_left)
                self.shipping_left -= off
                return Effect(offer.offer_id, shipping_minor=off)
            case ActionKind.GIFT:
                return Effect(offer.offer_id, gift_item_id=action.gift_item_id, gift_quantity=action.get_quantity)
            case ActionKind.POINTS_MULTIPLIER:
                return Effect(offer.offer_id, points_multiplier=action.share)
        return Effect(offer.offer_id, self._take(offer, self._wishes(offer)))

    def _take(self, offer: Offer, wishes: dict[str, int]) -> dict[str, int]:
        """What is taken of what is wished for: not below a floor, and in all not above the offer's limit."""
        rooms = {line.line_id: self._room(offer, line) for line in self.cart.lines if line.line_id in wishes}
        total = sum(wishes.values())
        if limit := offer.action.max_minor:
            total = min(total, limit)
        whole_order = offer.action.kind in (ActionKind.ORDER_SHARE, ActionKind.ORDER_AMOUNT)
        caps = rooms if whole_order else {key: min(rooms[key], wish) for key, wish in wishes.items()}
        taken = {key: part for key, part in allocate(total, wishes, caps).items() if part}
        for key, part in taken.items():
            self.left[key] -= part
        return taken

    def _room(self, offer: Offer, line: CartLine) -> int:
        personal = offer.action.personal
        least = personal.least_minor(line.total_minor) if personal else 0
        return max(0, self.left[line.line_id] - max(least, floor_of(offer, line)))

    def _wishes(self, offer: Offer) -> dict[str, int]:
        action = offer.action
        lines = self.matching(action.items)
        match action.kind:
            case ActionKind.PERSONAL_SHARE:
                share = self.shares.get(offer.offer_id, 0)
                return {line.line_id: self.left[line.line_id] * share // WHOLE for line in lines}
            case ActionKind.ORDER_SHARE:
                total = sum(self.left[line.line_id] for line in lines) * action.share // WHOLE
                return self._spread(lines, total)
            case ActionKind.ORDER_AMOUNT:
                return self._spread(lines, min(action.amount_minor, sum(self.left[line.line_id] for line in lines)))
            case ActionKind.LINE_SHARE:
                return {line.line_id: self.left[line.line_id] * action.share // WHOLE for line in lines}
            case ActionKind.LINE_AMOUNT:
                return {
                    line.line_id: min(self.left[line.line_id], action.amount_minor * line.quantity) for line in lines
                }
            case ActionKind.LINE_PRICE:
                return {line.line_id: self._down_to(line, action.amount_minor) for line in lines}
            case ActionKind.PRICE_LIST:
                prices = {price.item_id: price.price_minor for price in action.prices}
                return {
                    line.line_id: self._down_to(line, prices[line.item_id]) for line in lines if line.item_id in prices
                }
            case ActionKind.VOLUME:
                return self._volume(action, lines)
            case ActionKind.BUY_GET:
                return self._buy_get(action, lines)
            case ActionKind.BUNDLE:
                return self._bundle(action)
        raise AssertionError(action.kind)

    def _spread(self, lines: Sequence[CartLine], total: int) -> dict[str, int]:
        left = {line.line_id: self.left[line.line_id] for line in lines}
        return allocate(total, left, left)

    def _down_to(self, line: CartLine, price_minor: int) -> int:
        return max(0, self.left[line.line_id] - price_minor * line.quantity)

    def _volume(self, action: Action, lines: Sequence[CartLine]) -> dict[str, int]:
        counted: dict[str, int] = {}
        for line in lines:
            key = "" if action.across_items else line.item_id
            counted[key] = counted.get(key, 0) + line.quantity
        wishes: dict[str, int] = {}
        for line in lines:
            quantity = counted["" if action.across_items else line.item_id]
            reached = [tier for tier in action.tiers if tier.min_quantity <= quantity]
            if reached:
                wishes[line.line_id] = self._tier(line, reached[-1])
        return wishes

    def _tier(self, line: CartLine, tier: VolumeTier) -> int:
        if tier.price_minor >= 0:
            return self._down_to(line, tier.price_minor)
        return self.left[line.line_id] * tier.share // WHOLE

    def _buy_get(self, action: Action, lines: Sequence[CartLine]) -> dict[str, int]:
        wishes: dict[str, int] = {}
        if action.chosen is Chosen.OTHER_ITEMS:
            bought = {line.line_id for line in lines}
            times = _times(sum(line.quantity for line in lines) // action.buy_quantity, action)
            others = [line for line in self.matching(action.get_items) if line.line_id not in bought]
            return self._give(others, times * action.get_quantity, action.share)
        groups: dict[str, list[CartLine]] = {}
        for line in lines:
            groups.setdefault(line.item_id if action.chosen is Chosen.SAME_ITEM else "", []).append(line)
        for group in groups.values():
            units = sum(line.quantity for line in group)
            times = _times(units // (action.buy_quantity + action.get_quantity), action)
            wishes |= self._give(group, times * action.get_quantity, action.share)
        return wishes

    def _give(self, lines: Iterable[CartLine], count: int, share: int) -> dict[str, int]:
        """The cheapest units, a share off."""
        wishes: dict[str, int] = {}
        for line, units, total in self._pick(lines, count, dearest=False):
            wishes[line.line_id] = total * units * share // (line.quantity * WHOLE)
        return wishes

    def _bundle(self, action: Action) -> dict[str, int]:
        free = {line.line_id: line for line in self.cart.lines}
        pools: list[list[CartLine]] = []
        for part in action.parts:
            pool = [free.pop(line.line_id) for line in self.matching(part.items) if line.line_id in free]
            pools.append(pool)
        counts = [
            sum(line.quantity for line in pool) // part.quantity for pool, part in zip(pools, action.parts, strict=True)
        ]
        times = _times(min(counts), action)
        amounts: dict[str, int] = {}
        for pool, part in zip(pools, action.parts, strict=True):
            for line, units, total in self._pick(pool, times * part.quantity, dearest=True):
                amounts[line.line_id] = total * units // line.quantity
        saved = max(0, sum(amounts.values()) - times * action.amount_minor)
        return allocate(saved, amounts, amounts)

    def _pick(self, lines: Iterable[CartLine], count: int, *, dearest: bool) -> Iterable[Unit]:
        """``count`` units, or as many as there are, the cheapest or the dearest first."""
        sign = -1 if dearest else 1
        ranked = sorted(lines, key=lambda line: (sign * Fraction(self.left[line.line_id], line.quantity), line.line_id))
        for line in ranked:
            units = min(count, line.quantity)
            if not units:
                return
            count -= units
            yield line, units, self.left[line.line_id]


def floor_of(offer: Offer, line: CartLine) -> int:
    """What a line costs at least, by its own floor and the offer's."""
    return max(line.floor_minor * line.quantity, -(-line.total_minor * offer.floor_share // WHOLE))


def _times(possible: int, action: Action) -> int:
    return min(possible, action.times_max) if action.times_max else possible
