"""A trained model as it answers: vectors, histories and pair counts of one tenant, all in arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.mixture import Mixture
from services.recommendation.domain.signals import HALF_LIFE_DAYS, FeedbackWeights

Vectors = NDArray[np.float32]
Floats = NDArray[np.float32]
Codes = NDArray[np.int32]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Training:
    """What a model was made of and what was measured of it."""

    model_version: str
    algorithm: str
    create_time: int
    """When the training ended, in microseconds."""
    train_micros: int
    position: int
    """The place in the recorded purchases up to which it learnt."""
    newest_time: int
    """The time of the newest purchase, in microseconds: the moment from which ages are counted."""
    half_life_days: float
    min_basket_count: int
    frequency_share: float
    """How much of a list follows the customer's own frequencies, from 0 to 1; chosen by measurement."""
    dimensions_asked: int
    dimensions: int
    """As many as were asked for, or fewer where there are fewer customers or items."""
    interaction_count: int
    customer_count: int
    basket_count: int
    item_count: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    following_share: float = 0.0
    """How much of a list follows what others went on to, from 0 to 1; chosen by measurement."""
    new_following_share: float = 0.0
    """The same for lists of what was not bought before."""
    half_life_asked: float = 0.0
    """0 where it was chosen by measurement."""
    trail_decay: float = 0.8
    """What an item counts against one of a customer's next basket, where it is asked what follows."""
    history_days: float = 0.0
    """After how many days a purchase counts half in the history of who made it; 0 for as in learning."""
    transition_days: float = 0.0
    """After how many days what others went on to counts half; 0: however old, it counts the same."""
    worse_than_live: bool = False
    """True: it was measured to be worse than the model that was live, which stayed."""
    view_weight: float = 0.0
    """What a view counts against a purchase; 0 where purchases alone are learnt from."""
    cart_weight: float = 0.0
    feedback_half_life_days: float = HALF_LIFE_DAYS
    """After how many days a view or a cart counts half."""
    signal_count: int = 0
    """How many views and carts were there to learn from."""

    @property
    def history_half_life_days(self) -> float:
        """How histories fade."""
        return self.history_days or self.half_life_days

    @property
    def mixture(self) -> Mixture:
        """What its lists follow."""
        return Mixture(self.frequency_share, self.following_share)

    @property
    def feedback(self) -> FeedbackWeights:
        """What views and carts counted."""
        return FeedbackWeights(self.view_weight, self.cart_weight, self.feedback_half_life_days)

    @property
    def new_mixture(self) -> Mixture:
        """What its lists of what was not bought before follow."""
        return Mixture(0.0, self.new_following_share)


@dataclass(frozen=True, slots=True)
class Pair:
    """How often an item lies in the same baskets as another one."""

    row: int
    together: int
    support: float
    confidence: float
    lift: float
    strength: float

    @property
    def leverage(self) -> float:
        """How much larger the share of baskets is than if the items were bought independently of each other."""
        return self.support - self.support / self.lift if self.lift else 0.0


@dataclass(frozen=True)
class Model:
    """Rows are items that were bought at least once, in the order of their ids, then items that nobody has bought and
    that have vectors from what is written of them.

    ``context``, ``target`` and ``likeness`` are the vectors of ``learning.algorithm.Embedding``. The history of
    customer ``c`` is ``history_items[history_starts[c]:history_starts[c + 1]]`` with what each item weighs and in how
    many baskets it was; the partners of item ``i`` are laid out in the same way, strongest first, as are what follows
    it (``next``), the newest items of a customer, oldest first, with how many baskets ago they were (``trail``), and
    what a customer looked at or put into carts, with what that counts (``interest``).
    """

    training: Training
    item_ids: Sequence[str]
    customer_ids: Sequence[str]
    context: Vectors
    target: Vectors
    likeness: Vectors
    recent_buyers: Counts
    history_starts: Counts
    history_items: Codes
    history_weights: Floats
    history_baskets: Codes
    pair_starts: Counts
    pair_items: Codes
    pair_baskets: Codes
    item_baskets: Codes
    next_starts: Counts
    next_items: Codes
    next_strengths: Floats
    trail_starts: Counts
    trail_items: Codes
    trail_steps: Codes
    interest_starts: Counts
    interest_items: Codes
    interest_weights: Floats

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each item id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def customer_of(self) -> dict[str, int]:
        """The code of each customer id."""
        return {customer_id: code for code, customer_id in enumerate(self.customer_ids)}

    @cached_property
    def by_demand(self) -> NDArray[np.int64]:
        """The rows by how many customers bought them lately, then by baskets ever, most first; then by item id."""
        return np.lexsort((-self.item_baskets, -self.recent_buyers))

    def bought(self, item_id: str) -> bool:
        """Whether anybody had bought an item when it learnt."""
        row = self.row_of.get(item_id)
        return row is not None and bool(self.item_baskets[row])

    def pairs(self, row: int) -> list[Pair]:
        """What lies in the same baskets as item ``row``, strongest first; equal strength and count by item id."""
        cells = slice(self.pair_starts[row], self.pair_starts[row + 1])
        own, total = int(self.item_baskets[row]), self.training.basket_count
        found = []
        for other, together in zip(self.pair_items[cells].tolist(), self.pair_baskets[cells].tolist(), strict=True):
            its = int(self.item_baskets[other])
            confidence = together / own
            strength = together / float(np.sqrt(own * its))
            found.append(Pair(other, together, together / total, confidence, confidence / (its / total), strength))
        return sorted(found, key=lambda pair: (-pair.strength, -pair.together, self.item_ids[pair.row]))
