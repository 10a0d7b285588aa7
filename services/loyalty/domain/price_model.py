"""What was learnt of prices: the model of everybody, each consenting person's evidence, and what it says of one person.

Evidence is kept by the customer id that orders came under. What is known of a person is the sum over all ids that are
theirs at the moment, so merges and unmerges are exact without learning anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.loyalty.domain.personal_price import Basis, PriceKnowledge
from services.loyalty.domain.price_sensitivity import Evidence, Ints, Prior, Sensitivity, pool_groups, posterior
from services.loyalty.domain.pricing_policy import PricingPolicy
from services.loyalty.domain.records import Kind


@dataclass(frozen=True, slots=True)
class SegmentSensitivity:
    """What is expected of the people of a segment."""

    segment_id: str
    sensitivity: Sensitivity


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceModel:
    """What was learnt of everybody."""

    version: int
    time: int
    population: Sensitivity
    variance: float
    """Of elasticities between persons."""
    person_count: int
    line_count: int
    segments: tuple[SegmentSensitivity, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceEvidence:
    """What one customer's purchases say: precision times elasticity, and the precision."""

    customer_id: str
    version: int
    weighted: float
    precision: float
    event_count: int


@dataclass(frozen=True, slots=True)
class PriceConsent:
    """What was said last of a purpose, for all channels, under one customer id."""

    customer_id: str
    purpose: str
    granted: bool
    change_time: int
    expire_time: int = 0

    def after(self, before: "PriceConsent | None") -> "PriceConsent":
        """What holds of the two: the later; of two at one instant what refuses."""
        if before is None or before.purpose != self.purpose:
            return self
        return max(before, self, key=lambda each: (each.change_time, not each.granted))


PRICE_MODELS = Kind("price_models", PriceModel)
MODEL_ID = "model"
PRICE_EVIDENCE = Kind("price_evidence", PriceEvidence)
PRICE_CONSENTS = Kind("price_consents", PriceConsent)


def consents(said: Iterable[PriceConsent], purpose: str, now: int) -> bool:
    """Whether a person consents who is all these customer ids: what was said last holds."""
    told = [each for each in said if each.purpose == purpose]
    last = max(told, key=lambda each: (each.change_time, not each.granted), default=None)
    return last is not None and last.granted and not 0 < last.expire_time <= now


@dataclass(frozen=True, slots=True)
class PriceStanding:
    """What is kept of a person and of everybody."""

    policy: PricingPolicy
    model: PriceModel | None
    said: Sequence[PriceConsent]
    evidence: Sequence[PriceEvidence]
    segment_ids: frozenset[str]


def pooled_segment(segment_ids: frozenset[str], policy: PricingPolicy) -> str:
    """Whose people somebody is expected to be like; empty: everybody."""
    return next((each for each in policy.segment_ids if each in segment_ids), "")


def prior_of(model: PriceModel, segment_id: str) -> Prior:
    """What is expected of somebody of the segment."""
    known = {each.segment_id: each.sensitivity for each in model.segments}
    expected = known.get(segment_id, model.population)
    return Prior(expected.elasticity, model.variance, expected.standard_error)


def knowledge_of(standing: PriceStanding, now: int) -> PriceKnowledge:
    """What may be used of a person's sensitivity."""
    policy, model = standing.policy, standing.model
    if not policy.enabled:
        return PriceKnowledge(basis=Basis.NO_MODEL)
    if not consents(standing.said, policy.consent_purpose, now):
        return PriceKnowledge(basis=Basis.NO_CONSENT)
    if model is None:
        return PriceKnowledge(basis=Basis.NO_MODEL)
    found = posterior(
        prior_of(model, pooled_segment(standing.segment_ids, policy)),
        sum(each.weighted for each in standing.evidence),
        sum(each.precision for each in standing.evidence),
        sum(each.event_count for each in standing.evidence),
    )
    return PriceKnowledge(basis=Basis.ESTIMATED, sensitivity=found, model_version=model.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """Evidence by customer id, who of them are one person, who consents, and who is in which segment."""

    customer_ids: Sequence[str]
    evidence: Evidence
    person_of: Mapping[str, str]
    consenting: frozenset[str]
    """Persons."""
    segment_of: Mapping[str, str]
    """Of consenting persons."""
    line_count: int


def model_of(learnt: Learnt, version: int, now: int) -> tuple[PriceModel, list[PriceEvidence]]:
    """The model, and what is kept of each customer id whose person consents."""
    persons = [learnt.person_of.get(each, each) for each in learnt.customer_ids]
    names = sorted(set(persons))
    number = {name: at for at, name in enumerate(names)}
    person = np.array([number[each] for each in persons], dtype=np.int64)
    segments = sorted(set(learnt.segment_of.values()) - {""})
    place = {segment_id: at for at, segment_id in enumerate(segments)}
    group = np.array([place.get(learnt.segment_of.get(name, ""), -1) for name in names], dtype=np.int64)
    pooling = pool_groups(_together(learnt.evidence, person, len(names)), group)
    kept = [
        PriceEvidence(each, version, *row)
        for each, owner, *row in zip(
            learnt.customer_ids,
            persons,
            learnt.evidence.weighted.tolist(),
            learnt.evidence.precision.tolist(),
            learnt.evidence.event_count.tolist(),
            strict=True,
        )
        if owner in learnt.consenting and row[2]
    ]
    whole = int(learnt.evidence.event_count.sum())
    model = PriceModel(
        version=version,
        time=now,
        population=Sensitivity(pooling.population.mean, pooling.population.mean_error, whole),
        variance=pooling.population.variance,
        person_count=len({learnt.person_of.get(each.customer_id, each.customer_id) for each in kept}),
        line_count=learnt.line_count,
        segments=tuple(SegmentSensitivity(segments[at], found) for at, found in sorted(pooling.groups.items())),
    )
    return model, kept


def _together(evidence: Evidence, person: Ints, count: int) -> Evidence:
    """Evidence by person."""
    return Evidence(
        np.asarray(np.bincount(person, evidence.weighted, count), dtype=np.float64),
        np.asarray(np.bincount(person, evidence.precision, count), dtype=np.float64),
        np.asarray(np.bincount(person, evidence.event_count, count), dtype=np.int64),
        evidence.elasticity,
    )
