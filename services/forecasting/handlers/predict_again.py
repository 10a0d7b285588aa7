"""Predict anew, by the newest model as it was fitted, who has other orders since customers were merged or parted."""

import asyncio
from collections.abc import Collection
from itertools import chain

from services.forecasting.domain.customers import CustomerModel, Histories, Prediction
from services.forecasting.handlers.value_customers import predictions, restored
from services.forecasting.ports import CustomerModels, Lines


async def predict_again(lines: Lines, models: CustomerModels, tenant: str, moved: Collection[tuple[str, str]]) -> None:
    """``moved``: whose orders were, and whose they are. Nothing changes where the model knows nothing of the former."""
    async with models.turn():
        model = await models.get(tenant)
        if model is None:
            return
        known = {it.customer_id for it in await models.predictions(tenant, [source for source, _ in moved])}
        touched = sorted(set(chain.from_iterable(pair for pair in moved if pair[0] in known)))
        if touched:
            histories = await lines.histories(tenant, model.currency, model.as_of, model.as_of, touched)
            found = await asyncio.to_thread(_predicted, histories, model)
            await models.correct(tenant, found, sorted(set(touched) - set(histories.ids)))


def _predicted(histories: Histories, model: CustomerModel) -> list[Prediction]:
    return list(chain.from_iterable(predictions(histories, restored(model), model)))
