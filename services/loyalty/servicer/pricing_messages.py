"""Personal prices to and from messages."""

from tessera.loyalty.v1 import pricing_pb2 as pb

from services.common.validation import FieldInvalid
from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.offer import Action, ActionKind
from services.loyalty.domain.personal_price import (
    STEP_SHARE,
    Basis,
    Bound,
    PersonalDiscount,
    PersonalPrice,
    PersonalTerms,
)
from services.loyalty.domain.price_model import PriceModel
from services.loyalty.domain.price_sensitivity import Sensitivity
from services.loyalty.domain.pricing_policy import HISTORY_DAYS, PricingPolicy
from services.loyalty.domain.pricing_report import Distribution, SegmentDistribution
from services.loyalty.servicer.calls import timestamp
from services.loyalty.servicer.carts import condition_message, read_condition, read_duration

VALIDITY = 7 * DAY_MICROS
VALIDITY_MIN, VALIDITY_MAX = 60_000_000, 90 * DAY_MICROS
BASES = {basis: pb.PersonalBasis.Value(f"PERSONAL_BASIS_{basis.name}") for basis in Basis}
BOUNDS = {bound: pb.PriceBound.Value(f"PRICE_BOUND_{bound.name}") for bound in Bound}


def read_personal(message: pb.PersonalShare) -> Action:
    """What a personal offer does; ``FieldInvalid`` where the validity is out of bounds."""
    validity = read_duration(message, "validity", VALIDITY, VALIDITY_MAX)
    if validity < VALIDITY_MIN:
        raise FieldInvalid("validity must be at least a minute", field="validity")
    terms = PersonalTerms(
        min_share=message.min_share,
        max_share=message.max_share,
        default_share=message.default_share,
        step_share=message.step_share or STEP_SHARE,
        cost_share=message.cost_share,
        margin_share=message.margin_share,
        validity=validity,
    )
    return Action(kind=ActionKind.PERSONAL_SHARE, items=read_condition(message, "items"), personal=terms)


def personal_message(action: Action) -> pb.PersonalShare:
    """What a personal offer does."""
    terms = action.personal
    assert terms is not None
    message = pb.PersonalShare(
        items=condition_message(action.items),
        min_share=terms.min_share,
        max_share=terms.max_share,
        default_share=terms.default_share,
        step_share=terms.step_share,
        cost_share=terms.cost_share,
        margin_share=terms.margin_share,
    )
    message.validity.FromMicroseconds(terms.validity)
    return message


def sensitivity_message(found: Sensitivity) -> pb.PriceSensitivity:
    """An estimate."""
    lower, upper = found.interval
    return pb.PriceSensitivity(
        elasticity=found.elasticity,
        standard_error=found.standard_error,
        lower=lower,
        upper=upper,
        observation_count=found.event_count,
    )


def discount_message(discount: PersonalDiscount) -> pb.PersonalDiscount:
    """A share; what it was estimated from is for the audit alone."""
    return pb.PersonalDiscount(
        offer_id=discount.offer_id,
        share=discount.share,
        basis=BASES[discount.basis],
        bounds=[BOUNDS[bound] for bound in discount.bounds],
        model_version=discount.model_version,
        expire_time=timestamp(discount.expire_time),
        kept=discount.kept,
    )


def price_message(price: PersonalPrice) -> pb.PersonalPrice:
    """What a person was quoted."""
    told = Sensitivity(price.elasticity, price.standard_error, price.observation_count)
    return pb.PersonalPrice(
        customer_id=price.customer_id,
        quote_time=timestamp(price.quote_time),
        quote_id=price.quote_id,
        order_id=price.order_id,
        currency=price.currency,
        discount=pb.PersonalDiscount(
            offer_id=price.offer_id,
            share=price.share,
            basis=BASES[price.basis],
            bounds=[BOUNDS[bound] for bound in price.bounds],
            model_version=price.model_version,
            expire_time=timestamp(price.expire_time),
            kept=True,
        ),
        min_share=price.min_share,
        max_share=price.max_share,
        sensitivity=sensitivity_message(told) if price.basis is Basis.ESTIMATED else None,
        lines=[
            pb.PersonalLine(
                item_id=line.item_id,
                quantity=line.quantity,
                list_minor=line.list_minor,
                discount_minor=line.discount_minor,
                total_minor=line.total_minor,
                bounds=[BOUNDS[bound] for bound in line.bounds],
            )
            for line in price.lines
        ],
        applied=price.applied,
        applied_offer_ids=price.applied_offer_ids,
        segment_ids=price.segment_ids,
    )


def read_policy(message: pb.PricingPolicy) -> PricingPolicy:
    """The policy; ``FieldInvalid`` if it contradicts itself."""
    if message.enabled and not message.consent_purpose:
        raise FieldInvalid("policy.consent_purpose must name the consent that is needed", field="consent_purpose")
    if len(set(message.segment_ids)) < len(message.segment_ids):
        raise FieldInvalid("policy.segment_ids must name each segment once", field="segment_ids")
    return PricingPolicy(
        enabled=message.enabled,
        consent_purpose=message.consent_purpose,
        segment_ids=tuple(message.segment_ids),
        history_days=message.history_days or HISTORY_DAYS,
    )


def policy_message(policy: PricingPolicy) -> pb.PricingPolicy:
    """The policy."""
    return pb.PricingPolicy(
        enabled=policy.enabled,
        consent_purpose=policy.consent_purpose,
        segment_ids=policy.segment_ids,
        history_days=policy.history_days,
        set_time=timestamp(policy.set_time) if policy.set_time else None,
    )


def model_message(model: PriceModel) -> pb.PriceModel:
    """What was learnt of everybody."""
    return pb.PriceModel(
        version=model.version,
        estimate_time=timestamp(model.time),
        population=sensitivity_message(model.population),
        person_deviation=model.variance**0.5,
        person_count=model.person_count,
        line_count=model.line_count,
        segments=[
            pb.SegmentSensitivity(segment_id=each.segment_id, sensitivity=sensitivity_message(each.sensitivity))
            for each in model.segments
        ],
    )


def distribution_message(found: Distribution) -> pb.PersonalDistribution:
    """A distribution."""
    return pb.PersonalDistribution(
        person_count=found.person_count,
        share_count=found.share_count,
        mean_share=found.mean_share,
        low_share=found.low_share,
        median_share=found.median_share,
        high_share=found.high_share,
        default_part=found.default_part,
        min_part=found.min_part,
        max_part=found.max_part,
    )


def segment_message(found: SegmentDistribution) -> pb.SegmentDistribution:
    """A segment beside everybody else."""
    return pb.SegmentDistribution(
        segment_id=found.segment_id,
        inside=distribution_message(found.inside),
        outside=distribution_message(found.outside),
        share_difference=found.share_difference,
    )
