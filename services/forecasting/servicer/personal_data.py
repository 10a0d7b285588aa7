"""What forecasting holds about one person, in the contract."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import orjson
from tessera.common.v1.privacy_pb2 import PersonalRecord
from tessera.forecasting.v1 import personal_data_pb2 as pb

from services.common.auth import principal
from services.common.clock import from_micros
from services.common.money import decimals
from services.forecasting.domain.activities import BoughtLine, Seen, Transition
from services.forecasting.domain.customers import Prediction, churn_band
from services.forecasting.domain.preference import CategoryPreferences
from services.forecasting.domain.propensity import Propensity
from services.forecasting.domain.uplift import Outcome, Treatment, Uplift
from services.forecasting.handlers.export_customer import Held, export_customer
from services.forecasting.handlers.fit_customer_model import CustomerFitting
from services.forecasting.handlers.fit_preferences import PreferenceFitting
from services.forecasting.handlers.fit_propensity import PropensityFitting
from services.forecasting.handlers.fit_uplift import UpliftFitting
from services.forecasting.ports import Activities, BoughtLines, Memberships

Context = grpc.aio.ServicerContext[Any, Any]


class PersonalDataRpcs:
    """The rpc that shows a person's records."""

    _customers: CustomerFitting
    _propensity: PropensityFitting
    _preference: PreferenceFitting
    _uplift: UpliftFitting
    _bought: BoughtLines
    _activities: Activities
    _memberships: Memberships

    async def ExportCustomerData(
        self, request: pb.ExportCustomerDataRequest, context: Context
    ) -> AsyncIterator[pb.ExportCustomerDataResponse]:
        ids = list(dict.fromkeys([request.customer_id, *request.origin_customer_ids]))
        models, propensities = self._customers.models, self._propensity.models
        held = (
            self._preference.models,
            self._uplift.models,
            self._uplift.treatments,
            self._activities,
            self._memberships,
        )
        async for page in export_customer(self._bought, models, propensities, *held, principal().tenant, ids):
            yield pb.ExportCustomerDataResponse(records=map(_record, page))


def _record(it: Held) -> PersonalRecord:
    if isinstance(it, Seen):
        return PersonalRecord(kind="event", json=orjson.dumps(_seen(it)).decode())
    if isinstance(it, Transition):
        return PersonalRecord(kind="membership", json=orjson.dumps(_transition(it)).decode())
    if isinstance(it, BoughtLine):
        return PersonalRecord(kind="order_line", json=orjson.dumps(_line(it)).decode())
    if isinstance(it, tuple):
        return PersonalRecord(kind="treatment", json=orjson.dumps(_treated(*it)).decode())
    if isinstance(it, Uplift):
        return PersonalRecord(kind="uplift", json=orjson.dumps(_gained(it)).decode())
    if isinstance(it, CategoryPreferences):
        return PersonalRecord(kind="category_preferences", json=orjson.dumps(_liked(it)).decode())
    if isinstance(it, Propensity):
        return PersonalRecord(kind="propensity", json=orjson.dumps(_likely(it)).decode())
    return PersonalRecord(kind="customer_prediction", json=orjson.dumps(_prediction(it)).decode())


def _line(it: BoughtLine) -> dict[str, Any]:
    return {
        "time": from_micros(it.time).isoformat(),
        "order": it.order_id,
        "product": it.product_id,
        "category": it.category,
        "store": it.store_id,
        "quantity": it.quantity,
        "amount": _amount(it.amount_minor, it.currency),
        "currency": it.currency,
    }


def _seen(it: Seen) -> dict[str, Any]:
    return {
        "time": from_micros(it.time).isoformat(),
        "name": it.name,
        "product": it.product_id,
        "category": it.category,
        "store": it.store_id,
        "channel": it.channel,
        **({"properties": it.properties} if it.properties else {}),
    }


def _transition(it: Transition) -> dict[str, Any]:
    return {"time": from_micros(it.time).isoformat(), "segment": it.segment_id, "entered": it.entered}


def _prediction(it: Prediction) -> dict[str, Any]:
    return {
        "as_of": from_micros(it.as_of).isoformat(),
        "horizon_days": it.horizon_days,
        "purchases_until_then": it.purchase_count,
        "last_purchase": from_micros(it.last_purchase).isoformat(),
        "days_between_purchases": it.days_between_orders,
        "churn_probability": round(it.churn_probability, 4),
        "churn_band": churn_band(it.churn_probability).name.lower(),
        "expected_orders": round(it.expected_orders, 3),
        "expected_order_value": _amount(it.expected_order_value, it.currency),
        "expected_revenue": _amount(it.expected_revenue, it.currency),
        "lifetime_value": _amount(it.lifetime_value, it.currency),
        "currency": it.currency,
    }


def _likely(it: Propensity) -> dict[str, Any]:
    return {
        "model": it.model_id,
        "as_of": from_micros(it.as_of).isoformat(),
        "horizon_days": it.horizon_days,
        "probability": round(it.probability, 4),
        "percentile": it.percentile,
        "because_of": {why.feature: why.value for why in it.reasons},
    }


def _liked(it: CategoryPreferences) -> dict[str, Any]:
    return {
        "as_of": from_micros(it.as_of).isoformat(),
        "horizon_days": it.horizon_days,
        "probability_by_category": {liked.category: round(liked.probability, 4) for liked in it.categories},
        "because_of_by_category": {
            liked.category: {why.feature: why.value for why in liked.reasons} for liked in it.categories
        },
    }


def _gained(it: Uplift) -> dict[str, Any]:
    without = "minor_amount" if it.outcome is Outcome.AMOUNT else "probability"
    return {
        "model": it.model_id,
        "as_of": from_micros(it.as_of).isoformat(),
        "uplift": round(it.uplift.value, 4),
        f"{without}_without_treatment": round(it.base_probability, 4),
        "group": it.group.name.lower(),
        "because_of": {why.feature: why.value for why in it.reasons},
    }


def _treated(experiment_id: str, it: Treatment) -> dict[str, Any]:
    return {"experiment": experiment_id, "treated": it.treated, "time": from_micros(it.time).isoformat()}


def _amount(minor: float, currency: str) -> str:
    places = decimals(currency)
    return f"{minor / 10**places:.{places}f}"
