"""Whether price sensitivities tell who buys on discount, in weeks of the sample retailer that no choice has seen.

How far prices around a purchase are compared, and how much an elasticity moves the odds of a discount, was chosen on
weeks 32 to 39 with estimates from the weeks before; what is reported is weeks 40 to 53, with estimates from weeks 1 to
39. "Population" is what is known without looking at a person: how often each item is sold at a discount.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.harness import Result, report
from services.loyalty.domain.price_sensitivity import (
    Evidence,
    Pooling,
    Purchases,
    choices_of,
    pool_groups,
    posterior,
    weigh,
)

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "complete_journey"
VALIDATION_WEEK, TEST_WEEK, LAST_WEEK = 32, 40, 53
LINES_MIN = 20
"""Held-out lines of a household whose discounts are looked at."""
ITEM_WEIGHT = 5.0
"""How many lines the average weighs beside an item's own."""
SLOPE = 0.25
"""By how much an elasticity moves the log odds of a discount."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lines:
    """Lines of the sample retailer."""

    person: NDArray[np.int64]
    item: NDArray[np.int64]
    week: NDArray[np.int64]
    price: Floats
    discounted: NDArray[np.bool_]
    person_count: int
    item_count: int

    def purchases(self, first: int, end: int) -> Purchases:
        """Those of some weeks."""
        told = (self.week >= first) & (self.week < end)
        return Purchases(self.person[told], self.item[told], self.week[told], self.price[told], self.person_count)


def lines_of_sample() -> Lines:
    """Every line that was sold for something. A discount is what the retailer took off the shelf's price."""
    columns = ["household_id", "product_id", "week", "quantity", "sales_value", "retail_disc", "coupon_match_disc"]
    table = pd.read_parquet(DATA / "transactions.parquet", columns=columns)
    table = table[(table.quantity > 0) & (table.sales_value > 0)]
    person, persons = pd.factorize(table.household_id, sort=True)
    item, items = pd.factorize(table.product_id, sort=True)
    price = (table.sales_value + table.coupon_match_disc) / table.quantity
    return Lines(
        person.astype(np.int64),
        item.astype(np.int64),
        table.week.to_numpy(np.int64),
        price.to_numpy(np.float64),
        table.retail_disc.to_numpy() > 0.005,
        len(persons),
        len(items),
    )


def elasticities(evidence: Evidence, pooling: Pooling) -> Floats:
    """Each household's, shrunk."""
    rows = zip(evidence.weighted.tolist(), evidence.precision.tolist(), evidence.event_count.tolist(), strict=True)
    return np.array([posterior(pooling.population, *row).elasticity for row in rows])


@dataclass(frozen=True)
class HeldOut:
    """How discounts of weeks to come agree with what was known before them."""

    rank_correlation: float
    auc: float
    line_log_loss: float
    line_auc: float
    population_log_loss: float
    population_line_auc: float
    discount_share_correlation: float
    """Of what is simplest to know of a household: how much of what it bought before was discounted."""


def held_out(lines: Lines, elasticity: Floats, first: int, end: int, slope: float) -> HeldOut:
    """What weeks from ``first`` to before ``end`` say of elasticities from the weeks before."""
    before, told = lines.week < first, (lines.week >= first) & (lines.week < end)
    rate = item_rates(lines, before)
    person, expected, seen = lines.person[told], rate[lines.item[told]], lines.discounted[told]
    count = np.bincount(person, minlength=lines.person_count)
    enough = count >= LINES_MIN
    excess = (np.bincount(person, seen - expected, lines.person_count) / np.maximum(count, 1))[enough]
    score = elasticity[enough]
    known = np.bincount(lines.person[before], minlength=lines.person_count)
    share = np.bincount(lines.person[before], lines.discounted[before], lines.person_count) / np.maximum(known, 1)
    odds = np.log(expected / (1 - expected))
    personal = 1 / (1 + np.exp(-(odds + slope * (elasticity - elasticity.mean())[person])))
    return HeldOut(
        rank_correlation=correlation(score, excess),
        auc=auc(excess > np.median(excess), score),
        line_log_loss=log_loss(seen, personal),
        line_auc=auc(seen, personal),
        population_log_loss=log_loss(seen, expected),
        population_line_auc=auc(seen, expected),
        discount_share_correlation=correlation(share[enough], excess),
    )


def item_rates(lines: Lines, told: NDArray[np.bool_]) -> Floats:
    """How often each item was sold at a discount, shrunk towards how often anything was."""
    count = np.bincount(lines.item[told], minlength=lines.item_count)
    discounted = np.bincount(lines.item[told], lines.discounted[told], lines.item_count)
    average = lines.discounted[told].mean()
    rates: Floats = np.clip((discounted + ITEM_WEIGHT * average) / (count + ITEM_WEIGHT), 0.01, 0.99)
    return rates


def learnt(lines: Lines, end: int) -> tuple[Evidence, Floats]:
    """The evidence of the weeks before ``end``, and each household's elasticity."""
    evidence = weigh(lines.purchases(0, end))
    return evidence, elasticities(evidence, pool_groups(evidence, np.full(lines.person_count, -1)))


def timing(lines: Lines, elasticity: Floats) -> float:
    """Log likelihood, a purchase, of the weeks in which households bought in the test weeks."""
    choices = list(choices_of(lines.purchases(TEST_WEEK, LAST_WEEK + 1)))
    return sum(each.log_likelihood(elasticity) for each in choices) / sum(len(each.person) for each in choices)


def log_loss(seen: NDArray[np.bool_], probability: Floats) -> float:
    """Mean negative log likelihood."""
    return -float(np.mean(np.log(np.where(seen, probability, 1 - probability))))


def correlation(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation."""
    return float(pd.Series(one).corr(pd.Series(other), method="spearman"))


def auc(positive: NDArray[np.bool_], score: Floats) -> float:
    """The share of pairs of which the positive one has the higher score; ties count half."""
    ranks = pd.Series(score).rank().to_numpy()
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(score) - count)))


def results() -> list[Result]:
    """The figures; none where the data is absent."""
    if not DATA.exists():
        return []
    lines = lines_of_sample()
    began = time.process_time()
    evidence, elasticity = learnt(lines, TEST_WEEK)
    seconds = time.process_time() - began
    found = held_out(lines, elasticity, TEST_WEEK, LAST_WEEK + 1, SLOPE)
    alone = np.where(evidence.precision > 1e-6, evidence.weighted / np.maximum(evidence.precision, 1e-6), np.nan)
    unshrunk = np.nan_to_num(alone, nan=evidence.elasticity)
    population = np.full(lines.person_count, evidence.elasticity)
    return [
        Result("households' excess of discounts, Spearman", found.rank_correlation, "", 0.0, "population"),
        Result("... with past discount share instead", found.discount_share_correlation, ""),
        Result("households above the median, AUC", found.auc, "", 0.5, "population"),
        Result("lines at a discount, log loss", found.line_log_loss, "", found.population_log_loss, "population"),
        Result("lines at a discount, AUC", found.line_auc, "", found.population_line_auc, "population"),
        Result(
            "weeks of purchase, log likelihood", timing(lines, elasticity), "", timing(lines, population), "population"
        ),
        Result("... not shrunk", timing(lines, unshrunk), ""),
        Result("the population's elasticity", evidence.elasticity, ""),
        Result("purchases compared", float(evidence.event_count.sum()), ""),
        Result("estimates from weeks 1 to 39", seconds, "CPU s"),
    ]


if __name__ == "__main__":
    report("Price sensitivity, complete_journey, weeks 40 to 53 held out", results())
