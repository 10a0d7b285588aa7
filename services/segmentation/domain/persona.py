"""Clusters of customers described as personas: what sets each apart, in figures and in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.common.money import decimals

CUSTOMERS_MIN = 30
CUSTOMERS_MAX = 2_000_000
CLUSTERS_DEFAULT = (3, 8)
CLUSTERS_MAX = 20
DAYPARTS = {"morning": (5, 12), "afternoon": (12, 17), "evening": (17, 22), "night": (22, 5)}
NOTABLE = 0.4
"""From how many standard deviations on a difference is worth a word."""
FAVOURED_SHARE, FAVOURED_LIFT = 0.05, 1.2

Figures = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


class ClusteringInvalid(InvalidArgument):
    """The range of the number of clusters is none. Metadata ``field``."""


class ClusterNotFound(NotFound):
    """The clustering has no cluster of this number. Metadata ``cluster``."""


class ClustersNotKept(FailedPrecondition):
    """The clustering is by taste, or was found before models were kept: find clusters anew."""


class TastesUnknown(FailedPrecondition):
    """Recommendation has no model of what customers like, or cannot be asked."""


class ClusteringNotFound(NotFound):
    """There is no such clustering, or none yet."""


class CustomersTooMany(ResourceExhausted):
    """More customers have orders than are held in memory at once. Metadata ``maximum``."""


class CustomersTooFew(FailedPrecondition):
    """Fewer customers have orders than can be told apart. Metadata ``minimum``."""


def cluster_counts(least: int, most: int) -> tuple[int, int]:
    """The range with defaults filled in; ``ClusteringInvalid``."""
    low, high = least or CLUSTERS_DEFAULT[0], most or max(CLUSTERS_DEFAULT[1], least)
    if not 2 <= low <= high <= CLUSTERS_MAX:
        raise ClusteringInvalid("2 or more clusters, and not fewer at most than at least", field="cluster_count_min")
    return low, high


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The figures of customers, ``(customers, figures)``: counts of orders by kind are parts of ``frequency``.

    ``names`` are those of the columns; ``category:…`` and ``channel:…`` are as common as their order says.
    """

    currency: str
    customer_ids: Sequence[str]
    names: Sequence[str]
    figures: Figures

    def column(self, name: str) -> Figures:
        """One figure of all customers."""
        return self.figures[:, list(self.names).index(name)]

    def part(self, rows: Sequence[int]) -> "Behaviour":
        """Of the customers at these places alone."""
        return replace(self, customer_ids=[self.customer_ids[row] for row in rows], figures=self.figures[list(rows)])


@dataclass(frozen=True, slots=True)
class Difference:
    """What sets a cluster apart; ``standardised`` in standard deviations of all customers."""

    figure: str
    mean: float
    overall_mean: float
    standardised: float


@dataclass(frozen=True, slots=True)
class Favourite:
    """A category that a cluster favours."""

    category: str
    order_share: float
    lift: float


@dataclass(frozen=True, slots=True)
class Persona:
    """One cluster; money is in minor units."""

    cluster: int
    name: str
    description: str
    customer_count: int
    customer_share: float
    revenue_minor: int
    revenue_share: float
    order_value_minor: int
    frequency_mean: float
    recency_days_median: float
    differences: Sequence[Difference]
    categories: Sequence[Favourite]
    daypart: str
    weekend_share: float


def personas(behaviour: Behaviour, points: Figures, labels: Numbers, spreads: Figures) -> list[Persona]:
    """Each cluster described, by number. ``points`` are the figures as they were compared (amounts by logarithm),
    ``spreads`` their standard deviations, ``labels`` the clusters of the customers."""
    found: list[Persona] = []
    for cluster in range(int(labels.max()) + 1):
        persona = _persona(behaviour, points, labels == cluster, spreads, cluster)
        same = sum(other.name == persona.name or other.name.startswith(f"{persona.name} (") for other in found)
        found.append(replace(persona, name=f"{persona.name} ({same + 1})") if same else persona)
    return found


def _persona(
    behaviour: Behaviour, points: Figures, here: npt.NDArray[np.bool_], spreads: Figures, cluster: int
) -> Persona:
    differences = _differences(behaviour, points, here, spreads)
    categories = _favourites(behaviour, here)
    orders, revenue = behaviour.column("frequency")[here], behaviour.column("monetary_minor")
    parts = {name: float(behaviour.column(f"{name}_share")[here] @ orders) for name in DAYPARTS}
    daypart = max(parts, key=lambda name: parts[name])
    weekend = float(behaviour.column("weekend_share")[here] @ orders / orders.sum())
    name = _name({it.figure: it.standardised for it in differences}, categories, daypart)
    count, spent = int(here.sum()), round(float(revenue[here].sum()))
    recency = float(np.median(behaviour.column("recency_days")[here]))
    persona = Persona(
        cluster=cluster,
        name=name,
        description="",
        customer_count=count,
        customer_share=count / len(here),
        revenue_minor=spent,
        revenue_share=spent / float(revenue.sum()) if revenue.sum() else 0.0,
        order_value_minor=int(spent // orders.sum()),
        frequency_mean=float(orders.mean()),
        recency_days_median=recency,
        differences=differences,
        categories=categories,
        daypart=daypart,
        weekend_share=weekend,
    )
    return replace(persona, description=_description(persona, behaviour.currency))


def _differences(
    behaviour: Behaviour, points: Figures, here: npt.NDArray[np.bool_], spreads: Figures
) -> list[Difference]:
    means, overall = behaviour.figures[here].mean(axis=0), behaviour.figures.mean(axis=0)
    apart = points[here].mean(axis=0) - points.mean(axis=0)
    rows = zip(behaviour.names, means.tolist(), overall.tolist(), apart.tolist(), spreads.tolist(), strict=True)
    found = [Difference(name, mean, whole, gap / spread if spread else 0.0) for name, mean, whole, gap, spread in rows]
    return sorted(found, key=lambda it: (-abs(it.standardised), it.figure))


def _favourites(behaviour: Behaviour, here: npt.NDArray[np.bool_]) -> list[Favourite]:
    orders = behaviour.column("frequency")
    found = []
    for name in behaviour.names:
        if name.startswith("category:"):
            held = behaviour.column(name) * orders
            share, overall = float(held[here].sum() / orders[here].sum()), float(held.sum() / orders.sum())
            if share >= FAVOURED_SHARE and overall > 0:
                found.append(Favourite(name.removeprefix("category:"), share, share / overall))
    return sorted(found, key=lambda it: (-it.lift, it.category))


def _name(apart: dict[str, float], categories: Sequence[Favourite], daypart: str) -> str:
    value = _word(apart["monetary_minor"], "high-value", "low-value")
    recency = _word(apart["recency_days"], "lapsed", "recent")
    frequency = _word(apart["frequency"], "frequent", "occasional")
    discount = "bargain" if apart["discount_share"] >= NOTABLE else ""
    words = [word for word in (value, recency, frequency, discount) if word] or ["average"]
    noun = "hunters" if discount else "buyers"
    of = f" of {categories[0].category}" if categories and categories[0].lift >= FAVOURED_LIFT else ""
    when = f", in the {daypart}" if apart[f"{daypart}_share"] >= NOTABLE and daypart != "night" else ""
    if apart["weekend_share"] >= NOTABLE:
        when += ", at the weekend"
    text = f"{' '.join(words)} {noun}{of}{when}"
    return text[0].upper() + text[1:]


def _word(apart: float, more: str, less: str) -> str:
    return more if apart >= NOTABLE else less if apart <= -NOTABLE else ""


def _description(persona: Persona, currency: str) -> str:
    sentences = [
        f"{persona.customer_share:.0%} of the customers, who bring {persona.revenue_share:.0%} of the revenue."
    ]
    notable = [it for it in persona.differences if abs(it.standardised) >= NOTABLE][:3]
    if notable:
        told = [
            f"{_words(it.figure)} {_figure(it.figure, it.mean, currency)}"
            f" (all: {_figure(it.figure, it.overall_mean, currency)})"
            for it in notable
        ]
        sentences.append(f"What sets them apart: {'; '.join(told)}.")
    favoured = [it for it in persona.categories if it.lift >= FAVOURED_LIFT][:3]
    if favoured:
        told = [f"{it.category} ({it.lift:.1f} times as often as all)" for it in favoured]
        sentences.append(f"They favour {', '.join(told)}.")
    return " ".join(sentences)


def _words(figure: str) -> str:
    for prefix, words in (("category:", "orders with "), ("channel:", "orders through ")):
        if figure.startswith(prefix):
            return words + figure.removeprefix(prefix)
    return {
        "recency_days": "days since the last order",
        "frequency": "orders",
        "monetary_minor": "spent",
        "order_value_minor": "spent on an order",
        "tenure_days": "days since first seen",
        "weekend_share": "orders at the weekend",
        "discount_share": "orders with a discount",
    }.get(figure, f"orders in the {figure.removesuffix('_share')}")


def _figure(figure: str, value: float, currency: str) -> str:
    if figure.endswith("_minor"):
        places = decimals(currency)
        return f"{value / 10**places:,.{places}f} {currency}"
    if figure.endswith("_share") or ":" in figure:
        return f"{value:.0%}"
    return f"{value:,.1f}"


@dataclass(frozen=True, slots=True)
class Trial:
    """How well a number of clusters fits."""

    cluster_count: int
    silhouette: float


class Space(IntEnum):
    """By what customers are compared; the numbers are those of the contract."""

    BEHAVIOUR = 1
    TASTE = 2


@dataclass(frozen=True, slots=True)
class ClusterModel:
    """By what customers are assigned: the figures, their means and spreads by which they are standardised, and the
    centroid of each cluster, by its number. Times of day are those of ``time_zone``."""

    figures: Sequence[str]
    means: Sequence[float]
    spreads: Sequence[float]
    centroids: Sequence[Sequence[float]]
    time_zone: str


@dataclass(frozen=True, slots=True)
class Clustering:
    """Clusters of all customers with orders; time in microseconds."""

    clustering_id: str
    as_of: int
    currency: str
    customer_count: int
    trials: Sequence[Trial]
    stability: Sequence[float]
    personas: Sequence[Persona]
    model: ClusterModel | None = None
    """``None`` of one by taste, or one that was found before models were kept."""
    space: Space = Space.BEHAVIOUR
