"""The scores that rules may compare: RFM, predictions, clusters and lookalikes."""

import re
from collections.abc import Collection, Container, Iterable

from services.common.rules import Operator, Rule, RuleInvalid, ScoreCondition, nodes
from services.segmentation.domain.rfm import Group

RFM = (
    "rfm.recency_days",
    "rfm.frequency",
    "rfm.monetary_minor",
    "rfm.recency_score",
    "rfm.frequency_score",
    "rfm.monetary_score",
    "rfm.cell",
)
"""The figures of ``Rfm`` in the currency with the most orders; the cell as a number, for example 545."""
RFM_GROUP = "rfm.group"
GROUPS = {group: group.name.lower() for group in Group}
"""The names of the groups, as rules compare them."""
PREDICTIONS = (
    "prediction.alive",
    "prediction.churn_probability",
    "prediction.expected_orders",
    "prediction.expected_order_value_minor",
    "prediction.expected_revenue_minor",
    "prediction.lifetime_value_minor",
    "prediction.days_to_next_order",
)
"""What forecasting expects of a customer, by its newest model."""
CLUSTER, LOOKALIKE = "cluster.", "lookalike."
PROPENSITY, PROPENSITY_PERCENTILE = "propensity.", "propensity_percentile."
"""How likely a customer is to reach the goal of a model of forecasting, and in which hundredth of all that is."""
CATEGORY_PREFERENCE, CATEGORY_PLACE = "category_preference.", "category_place."
"""How likely a customer is to buy of a category, and its place among the customer's categories: 1 for the likeliest.
Forecasting says it of the likeliest categories of each customer only."""
CATEGORY_MAX = 256
UPLIFT, UPLIFT_PERCENTILE, UPLIFT_GROUP = "uplift.", "uplift_percentile.", "uplift_group."
"""What the treatment of an uplift model changes for a customer (points of probability, or minor units of its currency),
in which hundredth of all that is, and how the customer answers to it."""
UPLIFT_GROUPS = ("persuadable", "sure_thing", "lost_cause", "do_not_disturb")
"""The names of the answers, as rules compare them."""
_OF_MODELS = (PROPENSITY, PROPENSITY_PERCENTILE, UPLIFT, UPLIFT_PERCENTILE, UPLIFT_GROUP)
_MODEL = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
_EQUALITY = frozenset({Operator.EQUALS, Operator.NOT_EQUALS, Operator.ANY_OF, Operator.NOT_ANY_OF})


def cluster_score(clustering_id: str) -> str:
    """The number of a customer's cluster in a clustering."""
    return CLUSTER + clustering_id


def lookalike_score(lookalike_id: str) -> str:
    """The place of a customer among lookalikes, from 1: the most alike."""
    return LOOKALIKE + lookalike_id


def is_of_model(score: str) -> bool:
    """Whether a propensity or uplift model says it, also one that is still to be fitted and says nothing yet."""
    family, _, model = score.partition(".")
    return f"{family}." in _OF_MODELS and _MODEL.fullmatch(model) is not None


def named(score: str) -> Collection[str]:
    """The names that the score may be; empty: it is a number."""
    if score == RFM_GROUP:
        return GROUPS.values()
    return UPLIFT_GROUPS if score.startswith(UPLIFT_GROUP) else ()


def is_preference(score: str) -> bool:
    """Whether it is about a category, also of one that nothing is said of."""
    family, _, category = score.partition(".")
    return f"{family}." in (CATEGORY_PREFERENCE, CATEGORY_PLACE) and 0 < len(category) <= CATEGORY_MAX


def is_predicted(score: str) -> bool:
    """Whether forecasting says it, so that it changes when forecasting says something else."""
    return score in PREDICTIONS or is_of_model(score) or is_preference(score)


def check_score(path: str, condition: ScoreCondition, known: Container[str]) -> None:
    """``RuleInvalid`` for a score that does not exist and for values that it never has; ``known`` are those of clusters
    and lookalikes."""
    score = condition.score
    if score not in (*RFM, RFM_GROUP) and score not in known and not is_predicted(score):
        models = f"{PROPENSITY}<model_id>, {PROPENSITY_PERCENTILE}<model_id>"
        models += f", {CATEGORY_PREFERENCE}<category>, {CATEGORY_PLACE}<category>"
        models += f", {UPLIFT}<model_id>, {UPLIFT_PERCENTILE}<model_id>, {UPLIFT_GROUP}<model_id>"
        families = f"{CLUSTER}<clustering_id>, {LOOKALIKE}<lookalike_id>, {models}"
        names = ", ".join((*RFM, RFM_GROUP, *PREDICTIONS, families))
        raise RuleInvalid(f"{path}.score", f"no score is called {score}; there are {names}")
    if groups := named(score):
        return _check_names(path, condition, groups)
    for index, value in enumerate(condition.values):
        if not isinstance(value, float):
            raise RuleInvalid(f"{path}.values[{index}]", "the figure is a number")
    return None


def _check_names(path: str, condition: ScoreCondition, names: Collection[str]) -> None:
    if condition.operator not in _EQUALITY:
        raise RuleInvalid(f"{path}.operator", f"{condition.operator.name} does not compare groups")
    for index, value in enumerate(condition.values):
        if value not in names:
            what = "RFM" if condition.score == RFM_GROUP else "uplift"
            there = ", ".join(names)
            raise RuleInvalid(f"{path}.values[{index}]", f"no group of {what} is called {value}; there are {there}")


def score_names(rules: Iterable[Rule]) -> set[str]:
    """The scores that rules compare."""
    return {node.rule.score for rule in rules for node in nodes(rule) if isinstance(node.rule, ScoreCondition)}
