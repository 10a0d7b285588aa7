"""Personal shares: what discount an offer has for a person, kept for a time, and the record of what was quoted."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import inf, log
from typing import NamedTuple

from services.loyalty.domain.price_sensitivity import Sensitivity
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.share import WHOLE

STEP_SHARE = 100
SEGMENTS_MAX = 200
"""Segments of a person that are kept with what they were quoted."""
ELASTICITY_DIGITS = 4
"""Finer differences are noise; so rounding errors decide nothing."""


class Basis(Enum):
    """Where a share comes from."""

    ESTIMATED = "estimated"
    NO_CONSENT = "no_consent"
    NO_MODEL = "no_model"


class Bound(Enum):
    """What kept a share or a price from being another one."""

    MIN_SHARE = "min_share"
    MAX_SHARE = "max_share"
    MARGIN = "margin"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalTerms:
    """Between which shares, in ten-thousandths, and for how long, in microseconds."""

    min_share: int
    max_share: int
    default_share: int
    cost_share: int
    margin_share: int = 0
    step_share: int = STEP_SHARE
    validity: int

    @property
    def kept_share(self) -> int:
        """What of a list price must stay, for cost and margin; rounded up."""
        return -(-self.cost_share * WHOLE // (WHOLE - self.margin_share))

    def least_minor(self, list_minor: int) -> int:
        """What of an amount at list price must stay, for cost and margin."""
        return -(-list_minor * self.cost_share // (WHOLE - self.margin_share))

    def shares(self) -> list[int]:
        """What can be chosen, ascending: steps from the least, and the most that is allowed."""
        most = min(self.max_share, WHOLE - self.kept_share)
        return [*range(self.min_share, most, self.step_share), most]


def problem_of(terms: PersonalTerms) -> str:
    """Why the terms contradict themselves; empty: they do not."""
    if not 0 <= terms.min_share <= terms.default_share <= terms.max_share < WHOLE:
        return "min_share, default_share and max_share ascend, and leave something to pay"
    if terms.default_share > WHOLE - terms.kept_share:
        return "default_share leaves less than cost_share and margin_share ask for"
    return ""


def chosen_share(terms: PersonalTerms, elasticity: float) -> tuple[int, tuple[Bound, ...]]:
    """The share with the greatest expected margin under demand of constant elasticity, and what it stopped at.

    With everything as a part of the list price, the margin at a share s is (1 - s - cost), and demand (1 - s) to the
    power of minus the elasticity. The logarithm of their product has increasing differences in share and elasticity, so
    the choice never falls where the elasticity rises (Topkis 1978).
    """
    sensitivity = round(max(0.0, elasticity), ELASTICITY_DIGITS)
    shares = terms.shares()
    share = max(shares, key=lambda each: (_log_margin(terms, each, sensitivity), -each))
    bounds = []
    if share == terms.min_share:
        bounds.append(Bound.MIN_SHARE)
    if share == shares[-1]:
        bounds.append(Bound.MAX_SHARE if share == terms.max_share else Bound.MARGIN)
    return share, tuple(bounds)


def _log_margin(terms: PersonalTerms, share: int, elasticity: float) -> float:
    margin = WHOLE - share - terms.cost_share
    return log(margin / WHOLE) - elasticity * log(1 - share / WHOLE) if margin > 0 else -inf


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceKnowledge:
    """What may be used of a person's sensitivity: why not, or the estimate and by which version of the model."""

    basis: Basis
    sensitivity: Sensitivity | None = None
    model_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalDiscount:
    """The share that an offer has for a person, and why."""

    offer_id: str
    share: int
    basis: Basis
    bounds: tuple[Bound, ...] = ()
    sensitivity: Sensitivity | None = None
    model_version: int = 0
    expire_time: int
    kept: bool = False


@dataclass(frozen=True, slots=True)
class KeptDiscount:
    """The share that stays a person's until it expires."""

    customer_id: str
    expire_time: int
    discount: PersonalDiscount


class PersonalLine(NamedTuple):
    """A line that a personal offer is about: at list price, what the offer took off, and what it cost in the end."""

    item_id: str
    quantity: int
    list_minor: int
    discount_minor: int
    total_minor: int
    bounds: tuple[Bound, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedPersonal:
    """What a personal offer was in a quote."""

    discount: PersonalDiscount
    min_share: int
    max_share: int
    lines: tuple[PersonalLine, ...]
    applied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalPrice:
    """What a person was quoted by a personal offer; flat, so that it can be told to them."""

    customer_id: str
    offer_id: str
    quote_time: int
    quote_id: str = ""
    order_id: str = ""
    currency: str
    share: int
    min_share: int
    max_share: int
    basis: Basis
    bounds: tuple[Bound, ...] = ()
    elasticity: float = 0.0
    standard_error: float = 0.0
    observation_count: int = 0
    model_version: int = 0
    expire_time: int
    list_minor: int = 0
    discount_minor: int = 0
    lines: tuple[PersonalLine, ...] = ()
    applied: bool = False
    applied_offer_ids: tuple[str, ...] = ()
    segment_ids: tuple[str, ...] = ()


PERSONAL_DISCOUNTS = Kind("personal_discounts", KeptDiscount)
PERSONAL_PRICES = Kind("personal_prices", PersonalPrice)


def discount_ref(offer_id: str, customer_id: str) -> Ref[KeptDiscount]:
    """Where the share that an offer has for a person is kept."""
    return Ref(PERSONAL_DISCOUNTS, f"{offer_id}/{customer_id}")


def discount_of(
    offer_id: str, terms: PersonalTerms, kept: KeptDiscount | None, known: PriceKnowledge | None, now: int
) -> PersonalDiscount:
    """The share for a person: the one that is kept, or the one of the moment.

    ``known`` is ``None`` where nothing was looked up: then only what is kept is personal. What was chosen from an
    estimate is used no longer once estimates may not be.
    """
    if kept and now < kept.expire_time:
        withdrawn = known is not None and known.basis is not Basis.ESTIMATED
        if not (withdrawn and kept.discount.basis is Basis.ESTIMATED):
            return kept.discount
    expire_time = now + terms.validity
    if known is None or known.sensitivity is None:
        basis = known.basis if known else Basis.NO_MODEL
        return PersonalDiscount(offer_id=offer_id, share=terms.default_share, basis=basis, expire_time=expire_time)
    share, bounds = chosen_share(terms, known.sensitivity.elasticity)
    return PersonalDiscount(
        offer_id=offer_id,
        share=share,
        basis=Basis.ESTIMATED,
        bounds=bounds,
        sensitivity=known.sensitivity,
        model_version=known.model_version,
        expire_time=expire_time,
    )


def line_bounds(terms: PersonalTerms, left_minor: int, list_minor: int, floor_minor: int) -> tuple[Bound, ...]:
    """What a line of so much stopped at, of which ``left_minor`` is left."""
    found: Mapping[Bound, int] = {Bound.MARGIN: terms.least_minor(list_minor), Bound.FLOOR: floor_minor}
    return tuple(bound for bound, least in found.items() if least and left_minor <= least)
