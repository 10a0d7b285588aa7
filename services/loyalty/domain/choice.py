"""Which offers a cart gets: the combination that takes off most, of those that may be combined.

Offers that are not stackable stand alone; of those of one exclusivity group there is one. Up to ``EXACT_MAX``
combinations are tried one by one, so the answer is the best, and one more eligible offer never makes a cart dearer.
Beyond that every stackable offer without a group is taken, and each group is improved in turn until nothing is
better, which is documented as approximate (``Choice.exact``). Among equals, higher priorities win, then ids.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from services.loyalty.domain.offer import ActionKind, Offer
from services.loyalty.domain.pricing import Effect, Pricing, application_order

EXACT_MAX = 512
_FREE = frozenset({ActionKind.FREE_SHIPPING, ActionKind.GIFT, ActionKind.POINTS_MULTIPLIER})
"""What takes nothing away from other offers: where it may be combined, it always is."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, in the order in which it was applied."""

    effects: tuple[Effect, ...] = ()
    exact: bool = True

    @property
    def discount_minor(self) -> int:
        """What it takes off in all."""
        return sum(effect.discount_minor for effect in self.effects)


_Option = tuple[Offer | None, ...]


def choose(pricing: Pricing, offers: Sequence[Offer], budgets: dict[str, int]) -> Choice:
    """The best combination. ``budgets`` is what each offer that has one may still take off."""
    useful = [offer for offer in sorted(offers, key=application_order) if not _apply(pricing, [offer], budgets)[0].idle]
    alone = [offer for offer in useful if not offer.stackable]
    best = _Best(pricing, budgets)
    for offer in alone:
        best.offer([offer])
    options = _options([offer for offer in useful if offer.stackable])
    if exact := prod(len(option) for option in options) <= EXACT_MAX:
        for combination in product(*options):
            best.offer(_flat(combination))
    else:
        _improve(best, options)
    return Choice(best.effects, exact)


def _options(offers: Iterable[Offer]) -> list[_Option]:
    """What can be chosen independently: one of each group or none, each other offer or not."""
    groups: dict[str, list[Offer]] = {}
    options: list[_Option] = []
    for offer in offers:
        if offer.exclusivity_group:
            groups.setdefault(offer.exclusivity_group, []).append(offer)
        else:
            options.append((offer,) if offer.action.kind in _FREE else (offer, None))
    return options + [(*members, None) for members in groups.values()]


def _improve(best: "_Best", options: Sequence[_Option]) -> None:
    current = [option[0] for option in options]
    best.offer(_flat(current))
    improved = True
    while improved:
        improved = False
        for index, option in enumerate(options):
            for other in option:
                candidate = [*current[:index], other, *current[index + 1 :]]
                if other is not current[index] and best.offer(_flat(candidate)):
                    current, improved = candidate, True


def _flat(combination: Iterable[Offer | None]) -> list[Offer]:
    return [offer for offer in combination if offer is not None]


class _Best:
    """The best combination so far."""

    def __init__(self, pricing: Pricing, budgets: dict[str, int]) -> None:
        self._pricing, self._budgets = pricing, budgets
        self.effects: tuple[Effect, ...] = ()
        self._value: tuple[int, int, list[int]] = (0, 0, [])

    def offer(self, offers: Sequence[Offer]) -> bool:
        """Keep the combination if it is better; whether it was."""
        effects = tuple(effect for effect in _apply(self._pricing, offers, self._budgets) if not effect.idle)
        priorities = {offer.offer_id: offer.priority for offer in offers}
        value = (
            sum(effect.discount_minor for effect in effects),
            sum(not effect.discount_minor for effect in effects),
            sorted((priorities[effect.offer_id] for effect in effects), reverse=True),
        )
        if value <= self._value:
            return False
        self._value, self.effects = value, effects
        return True


def _apply(pricing: Pricing, offers: Iterable[Offer], budgets: dict[str, int]) -> list[Effect]:
    """Apply the offers from list prices on; one whose budget does not allow its discount does nothing."""
    pricing.reset()
    effects: list[Effect] = []
    for offer in sorted(offers, key=application_order):
        before = dict(pricing.left), pricing.shipping_left
        effect = pricing.apply(offer)
        if effect.discount_minor > budgets.get(offer.offer_id, effect.discount_minor):
            pricing.left, pricing.shipping_left = before
            effect = Effect(offer.offer_id)
        effects.append(effect)
    return effects
