"""Evaluate the segments that depend on predictions, once something else is predicted of customers."""

from collections.abc import Set

from services.segmentation.domain.scores import is_predicted, score_names
from services.segmentation.domain.segment import dependants
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.ports import Segments

TOUCHED_MAX = 1_000
"""Up to so many customers are evaluated by themselves; for more, segments that depend on predictions are, for all."""


async def evaluate_predicted(segments: Segments, evaluation: Evaluation, tenant: str, customer_ids: Set[str]) -> None:
    """Have members be who the predictions say, soon."""
    rules = (await segments.catalogue(tenant)).rules
    own = {each for each, rule in rules.items() if any(map(is_predicted, score_names([rule])))}
    if own and len(customer_ids) <= TOUCHED_MAX:
        evaluation.touch(tenant, customer_ids)
    elif own:
        evaluation.renew(tenant, own.union(*(dependants(each, rules) for each in own)))
