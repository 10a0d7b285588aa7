"""From what customers did to what they are expected to do: the models' view of histories, and back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from services.forecasting.domain.customers import (
    CustomerModel,
    Decile,
    FitOptions,
    FloatArray,
    Histories,
    Holdout,
    IntArray,
    MethodScore,
    ModelError,
    ModelName,
    Prediction,
    ValueMethod,
)
from services.forecasting.domain.periods import DAY
from services.forecasting.learning.customer_value import (
    Expected,
    FittedValueModel,
    Spending,
    ValueModel,
    expect,
    fit_value_model,
    value_model,
)
from services.forecasting.learning.holdout import Agreement, compare
from services.forecasting.learning.purchases import Purchases, purchases
from services.forecasting.learning.value_trees import Known, ValueTrees, revalued

NEXT_ORDER_DAYS_MAX = 3652
_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model that was fitted without the last days, and how it did on them."""

    name: ModelName
    fitted: FittedValueModel
    expected: Expected
    agreement: Agreement

    def error(self) -> ModelError:
        """The line of the table of models."""
        it = self.agreement
        return ModelError(self.name, it.order_rmse, it.order_bias, self.fitted.timing_fit.log_likelihood)


def fit(histories: Histories, as_of: int, names: Sequence[ModelName]) -> tuple[ModelName, FittedValueModel]:
    """The likeliest of the models of these names."""
    rows, spending = _rows(histories, as_of), _spending(histories)
    fitted = [(name, fit_value_model(name.name.lower(), rows, spending)) for name in names]
    return max(fitted, key=lambda it: it[1].timing_fit.log_likelihood)


def evaluate(
    histories: Histories, until: int, days: int, names: Sequence[ModelName], options: FitOptions
) -> list[Evaluation]:
    """How the models do that were fitted on what was ``until``, on the ``days`` after it: the best one first."""
    rows, spending = _rows(histories, until), _spending(histories)
    found = []
    for name in names:
        model = fit_value_model(name.name.lower(), rows, spending)
        expected = expect(model, rows, spending, days, days, options.discount_rate)
        agreement = compare(expected, histories.later_count, histories.later_minor)
        found.append(Evaluation(name, model, expected, agreement))
    return sorted(found, key=lambda it: it.agreement.order_rmse)


def by_method(
    best: Evaluation,
    histories: Histories,
    days: int,
    trees: Mapping[ValueMethod, ValueTrees],
    features: FloatArray,
) -> dict[ValueMethod, Agreement]:
    """How each method does: the models alone, and trees that learnt nothing of these days."""
    found = {ValueMethod.PROBABILISTIC: best.agreement}
    known = Known(features, best.expected)
    for method, grown in trees.items():
        expected = revalued(best.expected, grown.says(known), days, days, 0.0)
        found[method] = compare(expected, histories.later_count, histories.later_minor)
    return found


def chosen(agreements: Mapping[ValueMethod, Agreement], wanted: ValueMethod) -> ValueMethod:
    """The method that was asked for, or the one that ranks customers best; of equal ones the simplest."""
    if wanted is not ValueMethod.BEST:
        return wanted
    return max(sorted(agreements), key=lambda it: _score(it, agreements[it]).ranking)


def holdout_of(
    evaluations: Sequence[Evaluation],
    agreements: Mapping[ValueMethod, Agreement],
    method: ValueMethod,
    until: int,
    count: int,
) -> Holdout:
    """The method in full, all models of purchases by their orders, and all methods by what they say of revenue."""
    return against(
        agreements.get(method, evaluations[0].agreement),
        until,
        count,
        [it.error() for it in evaluations],
        {it: agreements[it] for it in sorted(agreements)},
    )


def against(
    agreement: Agreement,
    until: int,
    count: int,
    errors: Sequence[ModelError],
    methods: Mapping[ValueMethod, Agreement],
) -> Holdout:
    """What was expected of ``count`` customers against what came after ``until``."""
    return Holdout(
        start=until,
        customer_count=count,
        order_rmse=agreement.order_rmse,
        order_bias=agreement.order_bias,
        revenue_bias=agreement.revenue_bias,
        revenue_rank_correlation=agreement.revenue_rank_correlation,
        brier=agreement.brier,
        churn_auc=agreement.churn_auc,
        top_decile_revenue_share=agreement.top_decile_revenue_share,
        deciles=tuple(Decile(**asdict(part)) for part in agreement.parts),
        errors=tuple(errors),
        methods=tuple(_score(*it) for it in methods.items()),
    )


def _score(method: ValueMethod, it: Agreement) -> MethodScore:
    return MethodScore(
        method=method,
        revenue_rank_correlation=it.revenue_rank_correlation,
        top_decile_revenue_share=it.top_decile_revenue_share,
        revenue_bias=it.revenue_bias,
        churn_auc=it.churn_auc,
        brier=it.brier,
    )


def restored(model: CustomerModel) -> ValueModel:
    """The model as it was fitted."""
    return value_model(model.model.name.lower(), model.purchase_parameters, model.spending_parameters)


def changed_since(before: Histories, now: Histories) -> Histories:
    """Those of ``now`` who had no history, or another one, ``before``."""
    place = {customer_id: number for number, customer_id in enumerate(before.ids)}
    at = np.array([place.get(customer_id, -1) for customer_id in now.ids], dtype=np.int64)
    same = at >= 0
    for one, other in (
        (now.count, before.count),
        (now.first_day, before.first_day),
        (now.last_day, before.last_day),
        (now.total_minor, before.total_minor),
    ):
        same &= one == other[at]
    return _part(now, np.flatnonzero(~same))


def predictions(
    histories: Histories,
    fitted: ValueModel,
    model: CustomerModel,
    trees: ValueTrees | None = None,
    features: FloatArray | None = None,
) -> Iterator[list[Prediction]]:
    """What the model says of each customer, some thousands at a time; with ``trees`` by the ``features`` of each."""
    for begin in range(0, len(histories.ids), _CHUNK):
        some = np.arange(begin, min(begin + _CHUNK, len(histories.ids)))
        part = _part(histories, some)
        expected = _expected(part, fitted, model)
        if trees is not None and features is not None:
            said = trees.says(Known(features[some], expected))
            expected = revalued(expected, said, model.horizon_days, model.lifetime_days, model.discount_rate)
        yield _predictions(part, expected, model)


def _expected(histories: Histories, fitted: ValueModel, model: CustomerModel) -> Expected:
    rows, spending = _rows(histories, model.as_of), _spending(histories)
    return expect(fitted, rows, spending, model.horizon_days, model.lifetime_days, model.discount_rate)


def _predictions(histories: Histories, found: Expected, model: CustomerModel) -> list[Prediction]:
    waits = np.where(found.wait_days <= NEXT_ORDER_DAYS_MAX, found.wait_days * DAY, -1.0).astype(np.int64)
    columns = zip(
        histories.ids,
        histories.count.tolist(),
        (histories.last_day * DAY).tolist(),
        found.probability_alive.tolist(),
        (1 - found.probability_of_order).tolist(),
        found.orders.tolist(),
        np.rint(found.order_value).astype(np.int64).tolist(),
        np.rint(found.revenue).astype(np.int64).tolist(),
        [model.as_of + wait if wait >= 0 else None for wait in waits.tolist()],
        np.rint(found.lifetime_value).astype(np.int64).tolist(),
        np.rint(histories.total_minor).astype(np.int64).tolist(),
        _days_between(histories),
        strict=True,
    )
    version, as_of, days, currency = model.version, model.as_of, model.horizon_days, model.currency
    return [Prediction(customer_id, version, as_of, days, currency, *rest) for customer_id, *rest in columns]


def frequency_amount_correlation(histories: Histories) -> float | None:
    """Over repeat customers: how often, and how much each time."""
    repeat = histories.count > 1
    count, mean = histories.count[repeat], histories.total_minor[repeat] / histories.count[repeat]
    if np.ptp(count) == 0 or np.ptp(mean) == 0:
        return None
    return float(np.corrcoef(count, mean)[0, 1])


def _days_between(histories: Histories) -> list[float | None]:
    """By customer: the mean time between purchases; ``None`` of who bought once."""
    days, gaps = (histories.last_day - histories.first_day).tolist(), (histories.count - 1).tolist()
    return [span / gap if gap else None for span, gap in zip(days, gaps, strict=True)]


def _rows(histories: Histories, as_of: int) -> Purchases:
    first, last = histories.first_day, histories.last_day
    return purchases(histories.count - 1, last - first, as_of // DAY - first)


def _spending(histories: Histories) -> Spending:
    return Spending(histories.count, histories.total_minor / histories.count)


def _part(it: Histories, some: IntArray) -> Histories:
    return Histories(
        ids=[it.ids[number] for number in some.tolist()],
        count=it.count[some],
        first_day=it.first_day[some],
        last_day=it.last_day[some],
        total_minor=it.total_minor[some],
        later_count=it.later_count[some],
        later_minor=it.later_minor[some],
    )
